"""How an attempt ended, ready to be stored; Outcome, as tear_down gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError

from taskscheduler.errors import InvalidDataError, JobFailure
from taskscheduler.model.exception_texts import JobInterrupted, is_a, message_of, traceback_of, type_of
from taskscheduler.model.failures import fingerprint_at, place_of
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC, payload, payload_size
from taskscheduler.model.raised import NO_RULES, AttemptLost, ExceptionRules, JobSnoozed, Retry


class AttemptResult(NamedTuple):
    """How an attempt ended, ready to be stored."""

    ending: Ending
    content: dict[str, Any]  #: result, error, fingerprint, said (the last progress), hook and so on, as far as known


def failure(error: BaseException, rules: ExceptionRules = NO_RULES) -> AttemptResult:
    """Returns the result of an attempt that raised, with what that says about the next one."""
    if is_a(error, JobSnoozed):
        return AttemptResult(Ending.SNOOZED, dict(error.facts))
    if is_a(error, AttemptLost):
        return AttemptResult(Ending.RETURNED, {"reason": message_of(error)})
    content: dict[str, Any] = {"error": describe(error)}
    if why := rules.why_final(error):
        content["final"] = why
    elif is_a(error, Retry) and (after := getattr(error, "after", None)) is not None:
        content["after"] = after
    return AttemptResult(Ending.FAILED, content)


def located(result: AttemptResult, error: BaseException, job: str, module: str) -> AttemptResult:
    """Adds to the result of an attempt that raised the place of that in the module of its job, if there is one."""
    place = place_of(error, module) if result.ending is Ending.FAILED else None
    if place is None:
        return result
    stored = {**result.content["error"], "place": str(place)}
    fingerprint = fingerprint_at(place, job, stored["type"])
    return AttemptResult(result.ending, {**result.content, "error": stored, "fingerprint": fingerprint})


def storable(name: str, result: Any, max_payload: int, rules: ExceptionRules = NO_RULES) -> AttemptResult:
    """Returns the result of a job that succeeded, or its failure if the returned value cannot be stored."""
    if result is None:
        return AttemptResult(Ending.SUCCEEDED, {})
    try:
        result = payload(f"the result of job {name}", "result", result, max_payload)
    except InvalidDataError as error:
        return failure(error, rules)
    except JobInterrupted:
        raise
    except BaseException as error:  # encoding runs code of the result's classes
        return _unstorable(f"the result of job {name}", error, rules)
    return AttemptResult(Ending.SUCCEEDED, {"result": result})


def _unstorable(what: str, error: BaseException, rules: ExceptionRules = NO_RULES) -> AttemptResult:
    problem = {"type": "InvalidDataError", "message": f"{what} cannot be stored: {message_of(error)}"}
    why = rules.why_final(InvalidDataError())
    return AttemptResult(Ending.FAILED, {"error": problem, **({"final": why} if why else {})})


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


def result_size(content: Mapping[str, Any]) -> int:
    """Returns the bytes that the result in the content of a report takes, as they are compared with `max_payload`."""
    try:
        return payload_size(content.get("result"))
    except (BSONError, OverflowError, RecursionError):
        return 0  # it is not stored


def _encoded(content: dict[str, Any]) -> bytes:
    return bson.encode(content, codec_options=CODEC) if content else b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attempt ended that `tear_down` cleans up after."""

    status: Status  #: DONE, FAILED, CANCELED, TIMEOUT, or WAITING: handed back to run again elsewhere
    result: Any = None  #: the value that `start` returned
    error: Mapping[str, Any] | None = None  #: type, message and traceback of a failure, as in `process.error`
