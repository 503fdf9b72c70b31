"""The rules of windows: which jobs have the same key, and which options go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.errors import InvalidOptionError

WINDOW_OPTIONS = ("unique_for", "unique_key", "debounce", "debounce_max")

_LONGEST_KEY = 200

#: pairs of options that exclude each other, and why
_EXCLUDED: Mapping[tuple[str, str], str] = {
    ("debounce", "unique_for"): "the one takes the newest data, the other keeps the first ones",
    ("debounce", "dedupe"): "the one puts the queued job off, the other leaves it as it is",
    ("debounce", "at"): "it decides when the job starts",
    ("debounce", "interval"): "a job that is put off runs once",
    ("debounce", "start_by"): "the job may be put off for longer; limit that with debounce_max",
    ("debounce", "id"): "the queued job keeps its id",
    ("unique_for", "dedupe"): "the one counts seconds, the other waits for the start; choose one",
    ("unique_for", "id"): "adding the job again is safe without it",
    ("unique_key", "ignore_data"): "the key stands for the data already",
}

#: options that mean nothing without one of these
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "debounce_max": ("debounce",),
    "unique_key": ("unique_for", "debounce", "dedupe"),
}


def unique_key(name: str, value: Any) -> str | None:
    """Returns a text of 1 to 200 characters, or None; else InvalidOptionError."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_KEY:
        raise InvalidOptionError(
            f"option {name} must be a text of 1 to {_LONGEST_KEY} characters that equal jobs share, not {value!r:.60}"
        )
    return value


def check_together(options: Any) -> None:
    """Raises InvalidOptionError if options of a job exclude each other."""
    for (one, other), reason in _EXCLUDED.items():
        if getattr(options, one) and getattr(options, other):
            raise InvalidOptionError(f"options {one} and {other} exclude each other: {reason}")
    if 0 < options.debounce_max < options.debounce:
        raise InvalidOptionError(
            f"option debounce_max ({options.debounce_max}) must not be less than option debounce ({options.debounce})"
        )


def check_alone(options: Any, given: Mapping[str, Any]) -> None:
    """Raises InvalidOptionError if an option that is `given` for a job means nothing without another one."""
    for name, needed in _NEEDS.items():
        if given.get(name) and not any(getattr(options, one) for one in needed):
            *some, last = needed
            listed = f"{', '.join(some)} or {last}" if some else last
            raise InvalidOptionError(f"option {name} means nothing without option {listed}")
