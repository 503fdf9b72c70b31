"""Signals: what somebody tells a job, once for each name, before, while or after it waits for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskscheduler.errors import InvalidOptionError

MOST_SIGNALS = 1000  #: of one job

LONGEST_NAME = 200  #: characters


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of a job, and whether the call that returned this has set it."""

    name: str
    value: Any
    at: datetime
    won: bool  #: False: another call was first, and this is its value
    timed_out: bool = False  #: the job had given up by then, so there is no value

    @classmethod
    def of(cls, entry: Mapping[str, Any], won: bool) -> Signal:
        """Reads a signal as it is stored."""
        return cls(entry["name"], entry.get("value"), entry["at"], won, entry.get("timed_out") is True)


def name_of(what: str, value: Any) -> str:
    """Returns the name of a step or signal; InvalidOptionError unless it is a text of 1 to 200 characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME or not value.isprintable():
        raise InvalidOptionError(
            f"the name of a {what} must be a text of 1 to {LONGEST_NAME} printable characters, not {value!r:.60}"
        )
    return str(value)


def entries_in(stored: Any) -> list[Mapping[str, Any]]:
    """Returns the entries of a stored list of steps or signals; somebody else may have written anything there."""
    listed: Sequence[Any] = stored if isinstance(stored, list) else ()
    return [one for one in listed if isinstance(one, Mapping) and isinstance(one.get("name"), str) and "at" in one]


def entry_of(stored: Any, name: str) -> Mapping[str, Any] | None:
    """Returns the entry of this name in a stored list; None if there is none."""
    return next((one for one in entries_in(stored) if one["name"] == name), None)
