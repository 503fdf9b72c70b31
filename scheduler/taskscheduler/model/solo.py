"""The option `solo`: two jobs with the same key never run at the same time."""

from __future__ import annotations

from typing import Any

from taskscheduler.errors import InvalidOptionError

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
    if value.startswith("\0"):  # so do the places of limits and sequences
        raise InvalidOptionError(f"option {name}: a key must not begin with a null character, as {value!r:.60} does")
    return value


def solo_key(solo: Solo, job: str) -> str | None:
    """Returns the key of a job of this name, None if it is not solo; True means the name itself."""
    return (job if solo is True else solo) or None
