"""Types of parameters: durations, sizes, points in time, ids, statuses, data, limits."""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from bson import ObjectId, json_util
from bson.errors import BSONError
from click.shell_completion import CompletionItem

from taskscheduler.model.checks import near_miss
from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.durations import parse_at

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}

_SIZE = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[KMGT]?)(?:I?B)?", re.ASCII)

_STATUS_WORDS = {"cancelled": "CANCELED", "cancel": "CANCELED", "running": "PROCESSING", "finished": "DONE"}

_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)

#: with these as a prefix it would not be clear whether a proxy has stripped it
_PAGES = ("jobs", "flows", "control", "schedule", "schedules", "task", "tasks", "api", "style.css", "openapi.json")

_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)

LARGEST_LIMIT = 10_000


def parse_size(text: str) -> int:
    """Returns the bytes of `512M`, `2GiB` or a plain number; raises ValueError for anything else."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is not a size; give bytes, or for example 512M, 2G")
    return round(float(found["count"]) * UNITS[found["unit"]])


if TYPE_CHECKING:
    Base = click.ParamType[Any]
else:
    Base = click.ParamType  # not generic before click 8.4


class ParsedType(Base, ABC):
    """A type whose `parse` raises ValueError with the text that the user sees."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Returns the value of a text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the value of a text; fails the command if it has none."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except (ValueError, TypeError, OverflowError, RecursionError, BSONError) as error:
            self.fail(str(error), param, ctx)


class Duration(ParsedType):
    """Seconds from a number or a text such as `1h30m`."""

    name = "duration"

    def parse(self, text: str) -> float | int:
        """Returns the seconds of a duration."""
        return parse_duration(text)


class Interval(Duration):
    """A duration, or -1 for an interval without a pause."""

    def parse(self, text: str) -> float | int:
        """Returns the seconds of an interval."""
        return parse_duration(text, endless=True)


class BackOff(ParsedType):
    """The name of a kind of back-off, or pauses such as `1s,30s,5m`."""

    name = "backoff"

    def parse(self, text: str) -> str | list[float | int]:
        """Returns the name, which is checked with the other options, or the seconds of each pause."""
        if text.strip().isalpha():
            return text.strip()
        return [parse_duration(part) for part in text.split(",")]


class StartBy(ParsedType):
    """A duration from now, or an ISO date with a time zone."""

    name = "time"

    def parse(self, text: str) -> float | int | datetime:
        """Returns the seconds or the date."""
        try:
            return parse_duration(text)
        except TimeError:
            found = parse_at(text)
        if isinstance(found, datetime):
            return found
        raise ValueError(f"{text!r} is neither a duration such as 90s nor a date with a time zone")


class Size(ParsedType):
    """Bytes from a number or a text such as `512M`."""

    name = "size"

    def parse(self, text: str) -> int:
        """Returns the bytes of a size."""
        return parse_size(text)


class At(ParsedType):
    """A unix time, an ISO date with a time zone, or a duration from now."""

    name = "time"

    def parse(self, text: str) -> float | int | datetime | timedelta:
        """Returns the point in time."""
        return parse_at(text)


class JobId(ParsedType):
    """A whole job id."""

    name = "id"

    def parse(self, text: str) -> ObjectId:
        """Returns the id."""
        if not ObjectId.is_valid(text):
            raise ValueError(f"{text!r} is not an id of 24 hex digits")
        return ObjectId(text)


class StatusName(ParsedType):
    """The name of a status, also `running`, `finished` and `cancelled`."""

    name = "status"

    def parse(self, text: str) -> Status:
        """Returns the status."""
        name = _STATUS_WORDS.get(text.lower(), text.upper())
        if name not in Status.__members__:
            labels = [status.label for status in Status]
            raise ValueError(f"{text!r} is not one of {', '.join(labels)}{near_miss(text, labels)}")
        return Status[name]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """Returns the statuses that begin like this."""
        return [CompletionItem(status.label) for status in Status if status.label.startswith(incomplete.lower())]


class Data(ParsedType):
    """The data of a job as JSON; `-` reads them from standard input."""

    name = "json"

    def parse(self, text: str) -> Any:
        """Returns the data."""
        try:
            return json_util.loads(sys.stdin.read() if text == "-" else text)
        except RecursionError:
            raise ValueError("the data is nested too deeply") from None
        except (ValueError, TypeError, KeyError, OverflowError, BSONError) as error:
            raise ValueError(f"the data is not JSON: {error}; a string needs its quotes: '\"text\"'") from None


class Limit(ParsedType):
    """The largest number of jobs in a list."""

    name = "number"

    def parse(self, text: str) -> int:
        """Returns the limit."""
        value = int(text) if text.isdecimal() else 0
        if not 1 <= value <= LARGEST_LIMIT:
            raise ValueError(f"{text!r} is not a number from 1 to {LARGEST_LIMIT}")
        return value


class RootPath(ParsedType):
    """A path prefix of the web pages; an empty one, or / alone, stands for none."""

    name = "path"

    def parse(self, text: str) -> str:
        """Returns the path without a slash at its end."""
        path = text.rstrip("/")
        if path and (not _ROOT_PATH.fullmatch(path) or {".", ".."} & set(path.split("/"))):
            raise ValueError(f"{text!r} is not a path such as /scheduler, of letters, digits, and . _ ~ -")
        if path.split("/")[1:2] in ([name] for name in _PAGES):
            raise ValueError(
                f"{text!r} begins like an address of the pages themselves: {', '.join(_PAGES)}; take another"
            )
        return path


class PortOption(click.Option):
    """An option that takes no port from the variables that Kubernetes sets for a service called `taskscheduler`.

    They have the names of ours, such as TASKSCHEDULER_PORT, and values such as tcp://10.0.0.5:80.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Returns the value of the first variable that is set by people."""
        names = [self.envvar] if isinstance(self.envvar, str) else list(self.envvar or ())
        if ctx.auto_envvar_prefix is not None and self.name:
            names.append(f"{ctx.auto_envvar_prefix}_{self.name.upper()}")
        values = (os.environ.get(name) for name in names)
        return next((value for value in values if value and not _SERVICE_LINK.match(value)), None)


DURATION = Duration()

INTERVAL = Interval()

BACKOFF = BackOff()

START_BY = StartBy()

SIZE = Size()

AT = At()

OBJECT_ID = JobId()

STATUS = StatusName()

DATA = Data()

LIMIT = Limit()

ROOT_PATH = RootPath()
