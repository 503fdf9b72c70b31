"""How an attempt ended, ready to be stored; Outcome, as tear_down gets it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson

from taskscheduler.errors import InvalidDataError, JobFailure
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC, check_depth, check_payload

AttemptResult = tuple[
    Ending, dict[str, Any]
]  #: how an attempt ended, and what there is to say about it, ready to be stored

LONGEST_TRACEBACK = 8 * 1024

LONGEST_MESSAGE = 2 * 1024

#: modules whose exceptions are stored without the name of the module
#: errors of these modules are stored by their bare names
_PLAIN = (
    "builtins",
    "taskscheduler.errors",
    "taskscheduler.model.job_errors",
    "taskscheduler_daemon.system.resource_limits",
)


def failure(error: BaseException) -> AttemptResult:
    """The end of an attempt that raised."""
    return Ending.FAILED, {"error": describe(error)}


def storable(name: str, result: Any, max_payload: int) -> AttemptResult:
    """The result of a job, or its failure if the result cannot be stored."""
    if result is None:
        return Ending.SUCCEEDED, {}
    try:
        check_payload(f"the result of job {name}", result, max_payload)
        check_depth(f"the result of job {name}", result)
    except InvalidDataError as error:
        return Ending.FAILED, {"error": describe(error)}
    except Exception as error:  # encoding runs code of the result's classes
        problem = {"type": "InvalidDataError", "message": f"the result of job {name} cannot be stored: {error}"}
        return Ending.FAILED, {"error": problem}
    return Ending.SUCCEEDED, {"result": result}


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as it is stored: type, message and, but for a JobFailure, the last 8 KB of its traceback."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ in _PLAIN else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception:
        message = "(its text could not be made)"
    said = {"type": name, "message": message[:LONGEST_MESSAGE].encode(errors="replace").decode()}
    if isinstance(error, JobFailure):
        return said
    trace = "".join(traceback.format_exception(error))
    encoded = trace.encode(errors="replace")[-LONGEST_TRACEBACK:]
    return {**said, "traceback": encoded.decode(errors="ignore")}


def encode(content: dict[str, Any]) -> bytes:
    """What a report carries; empty for nothing."""
    return bson.encode(content, codec_options=CODEC) if content else b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `tear_down` gets: how the attempt ended that it cleans up after."""

    status: Status  #: DONE, FAILED, CANCELED, TIMEOUT, or WAITING: handed back to run again elsewhere
    result: Any = None  #: what `start` returned
    error: Mapping[str, Any] | None = None  #: type, message and traceback of a failure, as in `process.error`
