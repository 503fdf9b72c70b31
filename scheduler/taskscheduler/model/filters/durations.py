"""Reads durations that people write, such as `90s`, `1h30m` and `2d`."""

from __future__ import annotations

import re

UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_FORMS = "seconds, or for example 90s, 5m, 1h30m, 2d"

_NUMBER = r"\d+(?:\.\d+)?"

PLAIN = re.compile(rf"[+-]?{_NUMBER}", re.ASCII)  #: a number without a unit

_PARTS = re.compile("".join(rf"(?:(?P<{unit}>{_NUMBER}){unit}(?![a-z]))?" for unit in UNITS), re.ASCII)


class TimeError(ValueError):
    """A text is not a duration or point in time; the message says what would be one."""


def parse_duration(text: str, *, endless: bool = False) -> float | int:
    """Returns the seconds of a number or of a text such as `1h30m`: units from large to small, each once.

    Raises TimeError for anything else; `-1` is allowed only if `endless`.
    """
    wanted = text.strip().lower()
    if endless and wanted == "-1":
        return -1
    seconds = float(wanted) if PLAIN.fullmatch(wanted) else _sum_of_parts(wanted)
    if seconds < 0:
        raise TimeError(f"{text!r} is negative; give {_FORMS}")
    return int(seconds) if seconds.is_integer() else seconds


def _sum_of_parts(text: str) -> float:
    found = _PARTS.fullmatch(text)
    parts = {unit: float(number) for unit, number in found.groupdict().items() if number} if found else {}
    if not parts:
        raise TimeError(f"{text!r} is not a duration; give {_FORMS}")
    # a division keeps 500ms exactly 0.5
    return sum(count / 1000 if unit == "ms" else count * UNITS[unit] for unit, count in parts.items())
