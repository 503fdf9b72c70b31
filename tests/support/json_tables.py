"""What the reference says about JSON, read from its tables, and whether a value follows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parents[2] / "daemon/docs/reference/json.md"

_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<type>[^|]+) \|", re.MULTILINE)

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda value: isinstance(value, dict) and set(value) == {"$oid"},
    "date": lambda value: isinstance(value, dict) and set(value) == {"$date"},
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "mapping": lambda value: isinstance(value, dict) and not any(name.startswith("$") for name in value),
    "any": lambda value: True,
    "null": lambda value: value is None,
}


class Table(NamedTuple):
    """The fields of one kind of object."""

    always: Mapping[str, str]  #: field: type
    perhaps: Mapping[str, str]
    internal: frozenset[str]


@cache
def table(heading: str) -> Table:
    """Reads what stands under a heading; the second table of jobs has the fields that may be missing."""
    text = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    first, _, second = text.partition("These are there")
    internal = re.search(r"own notes: (.*?)\. Do not", text, re.DOTALL)
    names = frozenset(re.findall(r"`(\w+)`", internal.group(1))) if internal else frozenset()
    return Table(_rows(first), _rows(second), names)


def _rows(text: str) -> dict[str, str]:
    return {row["name"]: row["type"].strip() for row in _ROW.finditer(text)}


def objections(heading: str, value: Any, without: frozenset[str] = frozenset()) -> list[str]:
    """Returns what is wrong with an object; `without`: fields that a command leaves out."""
    known = table(heading)
    assert known.always, heading
    types = {**known.always, **known.perhaps}
    missing = [f"{name} is missing" for name in known.always if name not in value and name not in without]
    unknown = [f"{name} is not documented" for name in value if name not in types and name not in known.internal]
    wrong = [
        f"{name} is no {types[name]}: {value[name]!r}"
        for name in value
        if name in types and not any(_TYPES[kind](value[name]) for kind in types[name].split(" or "))
    ]
    return [*missing, *unknown, *wrong, *(f"{name} is there" for name in value if name in without)]
