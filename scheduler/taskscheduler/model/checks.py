"""Validates single option values: integers, seconds, names, tags. Each check returns the value or raises."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError

Seconds = float | int | timedelta

LONGEST = 100 * 366 * 86_400  #: seconds, a century: the longest interval

#: kinds of pauses between tries
CONSTANT, LINEAR, EXPONENTIAL = "constant", "linear", "exponential"

LONGEST_PAUSE = 86_400  #: seconds; the default of `retry_interval_max`

StartBy = float | int | datetime

_KINDS = (CONSTANT, LINEAR, EXPONENTIAL)

_MOST_PAUSES = 100

_LEAST_START_BY = 0.1  #: seconds; no node starts a job sooner for certain

#: a smaller number would be a time before 2001; people who write it mean seconds from now
OLDEST_UNIX_TIME = 1_000_000_000

MOST_TAGS, LONGEST_TAG = 50, 100

_LONGEST_QUEUE = 120

_ID = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)

_QUEUE_NAME = re.compile(r"[_a-z0-9-]+")


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float; a bool is not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def plain(seconds: float) -> float | int:
    """Returns a whole number as an int, any other as a float."""
    return int(seconds) if seconds == int(seconds) else float(seconds)


def integer(name: str, value: Any, *, least: int, most: int = 2**31 - 1) -> int:
    """Returns `value` if it is an int (not a bool) between `least` and `most`; else InvalidOptionError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidOptionError(f"option {name} must be an integer")
    if not least <= value <= most:
        raise InvalidOptionError(f"option {name} must be between {least} and {most}, not {value!r:.60}")
    return int(value)


def boolean(name: str, value: Any) -> bool:
    """Returns `value` if it is a bool; else InvalidOptionError."""
    if not isinstance(value, bool):
        raise InvalidOptionError(f"option {name} must be a boolean")
    return value


def seconds(name: str, value: Any, *, endless: bool = False, least: float = 0) -> float | int:
    """Returns the seconds of a number or a timedelta; -1 is allowed only if `endless`; else InvalidOptionError."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not is_number(value):
        raise InvalidOptionError(f"option {name} must be an integer, a float or a timedelta (in seconds)")
    if endless and value == -1:
        return -1
    if not least <= value <= LONGEST:
        allowed = f"-1, or between {least} and" if endless else f"between {least} and"
        raise InvalidOptionError(f"option {name} must be {allowed} {LONGEST} seconds, not {value!r:.60}")
    return plain(value)


def aware(name: str, value: datetime) -> datetime:
    """Returns a date in UTC; InvalidOptionError if it has no time zone, or if Python has no such date in UTC."""
    if value.tzinfo is None:
        raise InvalidOptionError(f"option {name} must be an aware datetime: give it a time zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidOptionError(f"option {name} must be a date between the years 1 and 9999 in UTC") from None


def past(name: str, value: Any) -> datetime | timedelta:
    """Returns a date in UTC, or how long ago a number of seconds or a timedelta is; else InvalidOptionError."""
    if isinstance(value, datetime):
        return aware(name, value)
    if not isinstance(value, timedelta) and not is_number(value):
        raise InvalidOptionError(
            f"option {name} must be an aware datetime, or seconds or a timedelta before now, not {value!r:.60}"
        )
    return timedelta(seconds=seconds(name, value))


def future(name: str, value: Any) -> datetime | timedelta:
    """Returns a date in UTC, or how far off a number of seconds or a timedelta is; else InvalidOptionError."""
    if isinstance(value, datetime):
        return aware(name, value)
    if is_number(value) and value >= OLDEST_UNIX_TIME:
        raise InvalidOptionError(
            f"option {name} counts seconds from now; give an aware datetime instead of the unix time {value}"
        )
    if not isinstance(value, timedelta) and not is_number(value):
        raise InvalidOptionError(
            f"option {name} must be an aware datetime, or seconds or a timedelta from now, not {value!r:.60}"
        )
    return timedelta(seconds=seconds(name, value))


def waiting_time(value: Any, name: str = "timeout") -> float | None:
    """Returns the seconds of a number or a timedelta; None and infinity mean no limit; else InvalidOptionError."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if value is None or value == math.inf:
        return None
    if not is_number(value):
        raise InvalidOptionError(
            f"{name} must be a number of seconds, a timedelta or None (no limit), not {value!r:.60}"
        )
    return float(min(value, LONGEST))  # the system's clocks cannot hold more


def as_object_id(value: Any) -> Any:
    """Returns the id that a text of 24 hexadecimal digits stands for, and any other value as it is."""
    return ObjectId(value) if isinstance(value, str) and _ID.fullmatch(value) else value


def object_id(name: str, value: Any) -> ObjectId | None:
    """Returns the id that an ObjectId or 24 hexadecimal digits stand for, or None; else InvalidOptionError."""
    found = as_object_id(value)
    if found is not None and not isinstance(found, ObjectId):
        raise InvalidOptionError(f"option {name} must be an ObjectId or its 24 hexadecimal digits")
    return found


def near_miss(name: object, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({})) -> str:
    """Returns the end of a message that suggests the nearest known name; empty if none is near."""
    near = nearest(name, known, aliases)
    return "" if near is None else f"; did you mean {near}?"


def nearest(
    name: object, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({}), likeness: float = 0.6
) -> str | None:
    """Returns the known name that is most like `name`, or None; `likeness` is 1 for equal names."""
    near = difflib.get_close_matches(str(name).lower(), [*known, *aliases], n=1, cutoff=likeness)
    return aliases.get(near[0], near[0]) if near else None


def queue_name(name: str, value: Any) -> str:
    """Returns `value` if it may name a queue; else InvalidOptionError."""
    if not isinstance(value, str) or not _QUEUE_NAME.fullmatch(value):
        raise InvalidOptionError(
            f"option {name} must be a name of lowercase letters, digits, dashes and underscores, not {value!r:.120}"
        )
    if len(value) > _LONGEST_QUEUE:
        raise InvalidOptionError(f"option {name} must have {_LONGEST_QUEUE} characters at most, not {len(value)}")
    return value


def names(check: Callable[[str, Any], str]) -> Callable[[str, Any], tuple[str, ...]]:
    """Returns a check for a list of names that applies `check` to each."""

    def all_checked(name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise InvalidOptionError(f"option {name} must be a list of names, not {value!r:.60}")
        return tuple(check(name, item) for item in value)

    return all_checked


def tags(name: str, value: Any) -> tuple[str, ...]:
    """Returns `value` as texts without repetitions; InvalidOptionError unless it is a list of at most 50 short ones."""
    if isinstance(value, str):
        raise InvalidOptionError(f"option {name} must be a list of texts, not one: give [{value[:100]!r}]")
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidOptionError(f"option {name} must be a list of texts, not {type(value).__name__}")
    for one in value:
        if not _is_tag(one):
            raise InvalidOptionError(
                f"option {name} must be a list of texts of 1 to {LONGEST_TAG} characters; {one!r:.120} is none"
            )
    found = dict.fromkeys(sorted(value) if isinstance(value, set | frozenset) else value)
    if len(found) > MOST_TAGS:
        raise InvalidOptionError(f"option {name} must have {MOST_TAGS} texts at most, not {len(found)}")
    return tuple(found)


def tag(name: str, value: Any) -> str:
    """Returns `value` if it may be a tag; else InvalidOptionError."""
    if not _is_tag(value):
        raise InvalidOptionError(f"option {name} must be a text of 1 to {LONGEST_TAG} characters, not {value!r:.120}")
    return str(value)


def _is_tag(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_TAG and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def collection_name(name: str, value: Any) -> str:
    """Returns `value` if MongoDB accepts it as the name of a collection; else InvalidOptionError."""
    text = value if isinstance(value, str) else ""
    if not text or "$" in text or "\0" in text or ".." in text or text[-1] == "." or text.startswith((".", "system.")):
        raise InvalidOptionError(f"option {name} must be the name of a collection, not {value!r}")
    return text


def backoff(name: str, value: Any) -> str | tuple[float | int, ...]:
    """Returns the name of a kind of back-off, or the pauses of a list in seconds; else InvalidOptionError."""
    if isinstance(value, str) and value in _KINDS:
        return value
    if not isinstance(value, list | tuple):
        raise InvalidOptionError(
            f"option {name} must be one of {', '.join(_KINDS)} or a list of seconds, "
            f"not {value!r:.60}{near_miss(value, _KINDS)}"
        )
    if not 1 <= len(value) <= _MOST_PAUSES:
        raise InvalidOptionError(f"option {name} must have 1 to {_MOST_PAUSES} pauses, not {len(value)}")
    return tuple(seconds(name, pause) for pause in value)


def jitter(name: str, value: Any) -> float | int:
    """Returns a share between 0 and 1; else InvalidOptionError."""
    if not is_number(value) or not 0 <= value <= 1:
        raise InvalidOptionError(
            f"option {name} must be a number between 0 and 1, the share of a pause that is left to chance, "
            f"not {value!r:.60}"
        )
    return plain(value)


def start_by(name: str, value: Any) -> StartBy | None:
    """Returns seconds from adding, or a date of whole milliseconds; None for no limit; else InvalidOptionError."""
    if value is None:
        return None
    if isinstance(value, datetime):
        date = aware(name, value)
        return date.replace(microsecond=date.microsecond // 1000 * 1000)  # as the database gives it back
    if is_number(value) and value >= OLDEST_UNIX_TIME:
        raise InvalidOptionError(
            f"option {name} counts seconds from adding; give an aware datetime instead of the unix time {value}"
        )
    if not isinstance(value, timedelta) and not is_number(value):
        raise InvalidOptionError(
            f"option {name} must be a number of seconds, a timedelta or an aware datetime, not {value!r:.60}"
        )
    return seconds(name, value, least=_LEAST_START_BY)


Check = Callable[[str, Any], Any]


def checked(given: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Validates every given value; InvalidOptionError for an unknown name or a bad value."""
    result = {}
    for name, value in given.items():
        if name not in checks:
            raise InvalidOptionError(f"invalid option {name} given{near_miss(name, checks)}")
        result[name] = checks[name](name, value)
    return result
