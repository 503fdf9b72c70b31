"""The key of a solo job: two jobs with the same key never run at the same time.

A solo job is stored POSTPONED. It becomes WAITING together with the lock of its key, the field `gate`, which a unique
index gives to one job at a time. While another job holds the lock, a due job is parked: its real time moves to
`parked_at` and its `at` to the far future, so that it does not hide jobs that are due.
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
    """Returns `value` if it is a bool or a key; else InvalidOptionError."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or not value or len(value) > _LONGEST_KEY:
        raise InvalidOptionError(
            f"option {name} must be a boolean, or a text of 1 to {_LONGEST_KEY} characters as the key that jobs share, "
            f"not {value!r:.60}"
        )
    return value


def solo_key(solo: Solo, job: str) -> str | None:
    """Returns the key of a job of this name, None if it is not solo; True means the name itself."""
    return (job if solo is True else solo) or None


def make_solo(document: dict[str, Any], key: str, now: datetime) -> None:
    """Turns a new document into that of a solo job, which waits for the lock of its key."""
    document["solo"] = key
    document["status"] = int(Status.POSTPONED)
    if document["at"] <= now:
        document["parked_at"], document["at"] = document["at"], FAR
