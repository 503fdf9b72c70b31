"""Pure: what makes a job a solo job, of which never two with the same key are at work at once.

A solo job is stored POSTPONED, and becomes WAITING only together with the `gate` of its key, of which a unique index
lets only one be there. While another one has it, the job is parked: its `at` lies in the far future, out of the way of
jobs that are due, and its real time stands in `parked_at`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.lifecycle import Status

FAR = datetime(9999, 1, 1, tzinfo=UTC)  #: the `at` of a parked job

_LONGEST_KEY = 200

Solo = bool | str


def solo_option(name: str, value: Any) -> Solo:
    """`value` if it is a bool or a key; else InvalidOptionError."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or not value or len(value) > _LONGEST_KEY:
        raise InvalidOptionError(
            f"option {name} must be a boolean, or a text of 1 to {_LONGEST_KEY} characters as the key that jobs share, "
            f"not {value!r:.60}"
        )
    return value


def solo_key(solo: Solo, job: str) -> str | None:
    """The key that a job of this name shares with those it must not run beside; True stands for the name itself."""
    return (job if solo is True else solo) or None


def make_solo(document: dict[str, Any], key: str, now: datetime) -> None:
    """Make a new document one of a solo job that must wait for its turn."""
    document["solo"] = key
    document["status"] = int(Status.POSTPONED)
    if document["at"] <= now:
        document["parked_at"], document["at"] = document["at"], FAR
