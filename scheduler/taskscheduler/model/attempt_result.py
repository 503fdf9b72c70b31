"""How an attempt ended, ready to be stored; Outcome, as tear_down gets it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import bson

from taskscheduler.errors import InvalidDataError, JobFailure
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC, check_depth, check_payload


class AttemptResult(NamedTuple):
    """How an attempt ended, ready to be stored."""

    ending: Ending
    content: dict[str, Any]  #: result, error, said (the last progress), hook and async, as far as they are known


LONGEST_TRACEBACK = 8 * 1024

LONGEST_MESSAGE = 2 * 1024

#: modules whose exceptions are stored without the name of the module
_PLAIN = (
    "builtins",
    "taskscheduler.errors",
    "taskscheduler.model.job_errors",
    "taskscheduler_daemon.system.resource_limits",
)


def failure(error: BaseException) -> AttemptResult:
    """Returns the result of an attempt that raised."""
    return AttemptResult(Ending.FAILED, {"error": describe(error)})


def storable(name: str, result: Any, max_payload: int) -> AttemptResult:
    """Returns the result of a job that succeeded, or its failure if the returned value cannot be stored."""
    if result is None:
        return AttemptResult(Ending.SUCCEEDED, {})
    try:
        check_payload(f"the result of job {name}", result, max_payload)
        check_depth(f"the result of job {name}", result)
    except InvalidDataError as error:
        return AttemptResult(Ending.FAILED, {"error": describe(error)})
    except Exception as error:  # encoding runs code of the result's classes
        problem = {"type": "InvalidDataError", "message": f"the result of job {name} cannot be stored: {error}"}
        return AttemptResult(Ending.FAILED, {"error": problem})
    return AttemptResult(Ending.SUCCEEDED, {"result": result})


def describe(error: BaseException) -> dict[str, Any]:
    """Returns an exception as it is stored: type, message and, but for a JobFailure, the last 8 KB of its traceback."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ in _PLAIN else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception:
        message = "(its text could not be made)"
    stored = {"type": name, "message": message[:LONGEST_MESSAGE].encode(errors="replace").decode()}
    if isinstance(error, JobFailure):
        return stored
    trace = "".join(traceback.format_exception(error))
    encoded = trace.encode(errors="replace")[-LONGEST_TRACEBACK:]
    return {**stored, "traceback": encoded.decode(errors="ignore")}


def encode(content: dict[str, Any]) -> bytes:
    """Returns the content of a report as BSON; no bytes for no content."""
    return bson.encode(content, codec_options=CODEC) if content else b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attempt ended that `tear_down` cleans up after."""

    status: Status  #: DONE, FAILED, CANCELED, TIMEOUT, or WAITING: handed back to run again elsewhere
    result: Any = None  #: the value that `start` returned
    error: Mapping[str, Any] | None = None  #: type, message and traceback of a failure, as in `process.error`
