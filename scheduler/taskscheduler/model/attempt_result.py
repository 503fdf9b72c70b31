"""How an attempt ended, ready to be stored; Outcome, as tear_down gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import bson

from taskscheduler.errors import InvalidDataError, JobFailure
from taskscheduler.model.exception_texts import JobInterrupted, message_of, traceback_of, type_of
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC, check_depth, check_payload


class AttemptResult(NamedTuple):
    """How an attempt ended, ready to be stored."""

    ending: Ending
    content: dict[str, Any]  #: result, error, said (the last progress), hook and async, as far as they are known


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
    except JobInterrupted:
        raise
    except BaseException as error:  # encoding runs code of the result's classes
        return _unstorable(f"the result of job {name}", error)
    return AttemptResult(Ending.SUCCEEDED, {"result": result})


def _unstorable(what: str, error: BaseException) -> AttemptResult:
    problem = {"type": "InvalidDataError", "message": f"{what} cannot be stored: {message_of(error)}"}
    return AttemptResult(Ending.FAILED, {"error": problem})


def describe(error: BaseException) -> dict[str, Any]:
    """Returns an exception as it is stored: type, message and, but for a JobFailure, the last 8 KB of its traceback."""
    stored = {"type": type_of(error), "message": message_of(error)}
    return stored if issubclass(type(error), JobFailure) else {**stored, "traceback": traceback_of(error)}


def encode(result: AttemptResult) -> tuple[Ending, bytes]:
    """Returns how the attempt ended, and the content of its report as BSON; no bytes for no content.

    A result that cannot be encoded any more fails the attempt: handlers had it since, and its classes run code.
    """
    ending, content = result
    try:
        return ending, _encoded(content)
    except JobInterrupted:
        raise
    except BaseException as error:
        failed = _unstorable("the result of the job", error)
        rest = {key: value for key, value in content.items() if key not in ("result", "error")}
        return failed.ending, _encoded({**rest, **failed.content})


def _encoded(content: dict[str, Any]) -> bytes:
    return bson.encode(content, codec_options=CODEC) if content else b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attempt ended that `tear_down` cleans up after."""

    status: Status  #: DONE, FAILED, CANCELED, TIMEOUT, or WAITING: handed back to run again elsewhere
    result: Any = None  #: the value that `start` returned
    error: Mapping[str, Any] | None = None  #: type, message and traceback of a failure, as in `process.error`
