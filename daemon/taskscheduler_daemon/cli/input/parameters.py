"""Types of parameters: durations, sizes, ids, statuses, data."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from bson import ObjectId, json_util
from bson.errors import BSONError

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.durations import parse_at, parse_duration

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}

_SIZE = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[KMGT]?)(?:I?B)?", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes from `512M`, `2GiB` or a plain number; a ValueError says what would be a size."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is not a size; give bytes, or for example 512M, 2G")
    return round(float(found["count"]) * UNITS[found["unit"]])


if TYPE_CHECKING:
    Base = click.ParamType[Any]
else:
    Base = click.ParamType  # not generic before click 8.4


class Parsed(Base):
    """A value that a function reads; its ValueError is what the user gets to see."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ValueError, TypeError, OverflowError, RecursionError, BSONError) as error:
            self.fail(str(error), param, ctx)


def _object_id(text: str) -> ObjectId:
    if not ObjectId.is_valid(text):
        raise ValueError(f"{text!r} is not an id of 24 hex digits")
    return ObjectId(text)


def _status(text: str) -> Status:
    names = {"cancelled": "CANCELED", "cancel": "CANCELED", "running": "PROCESSING", "finished": "DONE"}
    wanted = names.get(text.lower(), text.upper())
    if wanted not in Status.__members__:
        raise ValueError(f"{text!r} is not one of {', '.join(status.label for status in Status)}")
    return Status[wanted]


def _data(text: str) -> Any:
    try:
        return json_util.loads(sys.stdin.read() if text == "-" else text)
    except RecursionError:
        raise ValueError("the data is nested too deeply") from None
    except (ValueError, TypeError, KeyError, OverflowError, BSONError) as error:
        raise ValueError(f"the data is not JSON: {error}; a text needs its quotes: '\"text\"'") from None


def _limit(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 1 <= value <= 10_000:
        raise ValueError(f"{text!r} is not a number from 1 to 10000")
    return value


DURATION = Parsed("duration", parse_duration)

INTERVAL = Parsed("duration", lambda text: parse_duration(text, endless=True))

SIZE = Parsed("size", parse_size)

AT = Parsed("time", parse_at)

OBJECT_ID = Parsed("id", _object_id)

STATUS = Parsed("status", _status)

DATA = Parsed("json", _data)

LIMIT = Parsed("number", _limit)
