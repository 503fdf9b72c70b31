"""Turns values into text that is safe to print: one line without control characters, TSV, JSON, dates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import json_util
from bson.binary import UuidRepresentation

from taskscheduler.store.client import redacted
from taskscheduler_daemon.presentation.clean import clean


def shown(uri: str) -> str:
    """Returns a URI without its password."""
    return redacted(uri)


#: readable JSON, with UUIDs as they are stored
JSON_OPTIONS = json_util.RELAXED_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)


def tsv(cells: Iterable[Any]) -> str:
    """Returns a line of tab-separated values; backslashes are doubled, so that every value can be read back."""
    return "\t".join(clean(str(cell).replace("\\", "\\\\")) for cell in cells)


def json_line(value: Any) -> str:
    """Returns a value as relaxed extended JSON in one line."""
    return _json(value, None)


def json_pretty(value: Any) -> str:
    """Returns a value as relaxed extended JSON in indented lines."""
    return _json(value, 2)


def json_list(values: Iterable[Any]) -> Iterator[str]:
    """Yields the lines of a JSON list, such as `json_pretty` writes, as the values come."""
    waiting: list[str] = []
    for value in values:
        yield from [f"{line}," if line is waiting[-1] else line for line in waiting] or ["["]
        waiting = [f"  {line}" for line in json_pretty(value).split("\n")]
    yield from [*waiting, "]"] if waiting else ["[]"]


def _json(value: Any, indent: int | None) -> str:
    text = json_util.dumps(value, json_options=JSON_OPTIONS, ensure_ascii=False, indent=indent)
    # JSON does not escape some control characters inside of strings: \u0085, bidi marks
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def more_than(most: int) -> str:
    """Returns what stands for a count that ended there: `1 000+`."""
    return f"{most:,}+".replace(",", " ")


def local(date: object) -> str:
    """Returns a date in the reader's time zone, to the second. A stored value that is no date is returned as a text."""
    if not isinstance(date, datetime):
        return "" if date is None else str(date)
    try:
        return f"{date.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    except OverflowError:  # in the first or the last hours of the calendar
        return iso(date)


def iso(date: object) -> str:
    """Returns a date in ISO form and UTC, to the millisecond. A stored value that is no date is returned as a text."""
    if not isinstance(date, datetime):
        return "" if date is None else str(date)
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plural(number: int, noun: str) -> str:
    """Returns a number with its noun, such as `1 job` and `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Returns rows as lines with aligned columns; for short ASCII values."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def size(count: Any) -> str:
    """Returns a number of bytes for people, such as `143 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 9.95 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
