"""What the content of a report may be: a job may have written it itself, past its worker, and as it liked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from taskscheduler.model.checks import LONGEST, is_number
from taskscheduler.model.failures import is_fingerprint
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.raised import LONGEST_REASON
from taskscheduler.model.readable import Fault
from taskscheduler.model.sound import is_count

_LONGEST_MESSAGE = 1000  #: characters

#: what a job says about its next attempt
_AGAIN: Mapping[str, Callable[[Any], bool]] = {
    "final": lambda value: isinstance(value, str) and len(value) <= LONGEST_REASON,
    "reason": lambda value: isinstance(value, str) and len(value) <= _LONGEST_MESSAGE,
    "after": lambda value: is_number(value) and 0 <= value <= LONGEST,
    "until": lambda value: isinstance(value, datetime),
    "begun": lambda value: isinstance(value, bool),
}

_LONGEST_ERROR = 64 * 1024  #: characters of its values together


def fault_of_content(content: Mapping[str, Any]) -> Fault | None:
    """Returns why the content of a report cannot be stored; None if it can."""
    if isinstance(content, UnreadableDocument):
        return Fault(content.place, f"of the report of its worker cannot be decoded: {content.reason}")
    error = content.get("error")
    if error is not None and not _is_error(error):
        return Fault("error", "of the report of its worker is none")
    if "fingerprint" in content and not is_fingerprint(content["fingerprint"]):
        return Fault("fingerprint", "of the report of its worker is none")
    for name, check in _AGAIN.items():
        if name in content and not check(content[name]):
            return Fault(name, "of the report of its worker is not what it must be")
    died = content.get("died")
    if died is not None and not (isinstance(died, Mapping) and _is_exit(died)):
        return Fault("died", "of the report of its worker is no end of a process")
    said = content.get("said")
    if said is not None and not (isinstance(said, Mapping) and said == progress_of(said)):
        return Fault("said", "of the report of its worker is no progress")
    return None


def _is_exit(died: Mapping[str, Any]) -> bool:
    return set(died) <= {"exit_code", "signal"} and all(is_count(value) for value in died.values())


def _is_error(error: Any) -> bool:
    if not isinstance(error, Mapping) or not all(isinstance(error.get(name), str) for name in ("type", "message")):
        return False
    plain = all(isinstance(value, str | int | float) for value in error.values())
    return plain and sum(len(str(value)) for value in error.values()) <= _LONGEST_ERROR


def progress_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the progress and the message in a report, as far as they are such."""
    found: dict[str, Any] = {}
    progress, message = content.get("progress"), content.get("message")
    if isinstance(progress, int | float) and not isinstance(progress, bool) and 0 <= progress <= 100:
        found["progress"] = progress
    if isinstance(message, str) and len(message) <= _LONGEST_MESSAGE:
        found["message"] = message
    return found
