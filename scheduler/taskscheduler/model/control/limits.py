"""Limits: how many jobs of a name may run at the same time in the cluster, and how many may start in a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import integer, is_number, seconds
from taskscheduler.model.control.keys import LIMIT, key
from taskscheduler.model.sound import is_text

MOST_LIMITS = 10  #: of one job

MOST_PLACES = 10_000

_LONGEST_NAME = 200

_LONGEST_BURST = 1_000_000

_LEAST_PER = 0.001

_MOMENT = 0.05  #: seconds

_PART = re.compile(r"\{([^{}]*)\}")

_LONE_BRACE = re.compile(r"[{}]")


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that somebody has set."""

    name: str  #: ends with `*` if it stands for all names that begin so, each with places of its own
    concurrency: int | None = None  #: so many of its jobs run at the same time at most
    rate: float | int | None = None  #: so many of its jobs start in `per` seconds
    per: float | int = 1
    burst: int = 1  #: so many of them may start at once after a rest
    by: str | None = None  #: who has set it: user@host
    at: datetime | None = None  #: when it was set

    @property
    def key(self) -> str:
        """The key under which it is stored."""
        return key(LIMIT, self.name)

    @property
    def milliseconds(self) -> float:
        """Milliseconds between two starts."""
        return 1000 * self.per / self.rate if self.rate else 0.0

    @property
    def slack(self) -> float:
        """Seconds for which free starts may be left, so that several are used at a time: half of what a burst keeps."""
        return min(_MOMENT, (self.burst - 1) * self.milliseconds / 2000)

    def covers(self, name: str) -> bool:
        """Whether it is the limit of this name."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


def limit_for(limits: Iterable[Limit], name: str) -> Limit | None:
    """Returns the limit of a name that a job is under: the one with the longest name that covers it."""
    covering = (one for one in limits if one.covers(name))
    return max(covering, key=lambda one: (one.name == name, len(one.name)), default=None)


class Span(NamedTuple):
    """The names from `first` up to, and without, `end`, in the order of texts."""

    first: str
    end: str


def _span(limit: Limit) -> Span:
    """Returns the names that a limit covers. Names have no control characters, so the span of one name has no other."""
    many = limit.name.endswith("*")
    return Span(limit.name[:-1], limit.name[:-1] + "\U0010ffff") if many else Span(limit.name, limit.name + "\x01")


def spans_of(limit: Limit, limits: Iterable[Limit]) -> list[Span]:
    """Returns the names whose limit this one is among all `limits`, as `limit_for` tells it."""
    start, end = _span(limit)
    longer = (one for one in limits if limit.name.endswith("*") and one.name != limit.name)
    spans = []
    for first, behind in sorted(map(_span, longer)):
        if not first.startswith(limit.name[:-1]):
            continue
        if start < first:
            spans.append(Span(start, first))
        start = max(start, behind)
    return [*spans, Span(start, end)] if start < end else spans


def new_limit(name: Any, concurrency: Any, rate: Any, per: Any, burst: Any) -> Limit:
    """Returns a limit of values that a caller gives; InvalidOptionError names the wrong one."""
    checked = limit_name("name", name, star=True)
    if concurrency is None and rate is None:
        raise InvalidOptionError("give concurrency, rate or both; limits.delete(name) takes a limit away")
    if concurrency is not None:
        concurrency = integer("concurrency", concurrency, least=0, most=MOST_PLACES)
    if rate is None:
        given = next((option for option, value in (("per", per), ("burst", burst)) if value is not None), None)
        if given is not None:
            raise InvalidOptionError(f"option {given} belongs to a rate: give rate, too")
        return Limit(checked, concurrency)
    if not is_number(rate) or not 0 < rate <= 1_000_000:
        raise InvalidOptionError(
            f"option rate must be a number of starts above 0 and up to 1 000 000, not {rate!r:.60}"
        )
    length = 1 if per is None else seconds("per", per, least=_LEAST_PER)
    most = integer("burst", default_burst(rate, length) if burst is None else burst, least=1, most=_LONGEST_BURST)
    return Limit(checked, concurrency, rate, length, most)


def default_burst(rate: float, per: float) -> int:
    """Returns one and as many starts as fall into a moment: nodes do not look at a rate more often than that."""
    return min(1 + round(rate / per * _MOMENT), _LONGEST_BURST)


def read_limit(document: Mapping[str, Any]) -> Limit | None:
    """Reads a stored limit; None if it is none, or cannot be used."""
    name: Any = document.get("name")
    if not is_text(name) or document.get("_id") != key(LIMIT, name):
        return None
    try:
        limit = new_limit(name, *(document.get(option) for option in ("concurrency", "rate", "per", "burst")))
    except InvalidOptionError:
        return None
    by, at = document.get("by"), document.get("at")
    return Limit(
        limit.name,
        limit.concurrency,
        limit.rate,
        limit.per,
        limit.burst,
        by if is_text(by) else None,
        at if isinstance(at, datetime) else None,
    )


def stored_limit(limit: Limit) -> dict[str, Any]:
    """Returns the values of a limit as they are stored."""
    values: dict[str, Any] = {"kind": LIMIT, "name": limit.name}
    if limit.concurrency is not None:
        values["concurrency"] = limit.concurrency
    return values if limit.rate is None else {**values, "rate": limit.rate, "per": limit.per, "burst": limit.burst}


def limit_name(option: str, value: Any, star: bool = False) -> str:
    """Returns `value` if it is a name of a limit, sequence or group; else InvalidOptionError."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_NAME or not value.isprintable():
        raise InvalidOptionError(
            f"option {option} must be a text of 1 to {_LONGEST_NAME} printable characters, not {value!r:.60}"
        )
    if "*" in value[: -1 if star else None]:
        where = "only at the end" if star else "only in limits.set"
        raise InvalidOptionError(f"option {option}: a star stands for many names {where}, not in {value!r:.60}")
    return value


def limits_option(option: str, value: Any) -> tuple[str, ...]:
    """Returns the names, or templates of names, of the limits of a job; InvalidOptionError if one is wrong."""
    if not isinstance(value, str | list | tuple):
        raise InvalidOptionError(f"option {option} must be a name or a list of names, not {type(value).__name__}")
    names = dict.fromkeys(template(option, name) for name in ([value] if isinstance(value, str) else value))
    if len(names) > MOST_LIMITS:
        raise InvalidOptionError(f"option {option} must have {MOST_LIMITS} names at most, not {len(names)}")
    return tuple(names)


def template(option: str, value: Any) -> str:
    """Returns a name in which parts in braces stand for values of the job; InvalidOptionError if one is not known."""
    name = limit_name(option, value)
    for part in _PART.findall(name):
        if part not in ("class", "queue", "data") and not part.startswith("data."):
            raise InvalidOptionError(
                f"option {option}: {{{part}}} in {name!r} is not known; there are {{class}}, {{queue}}, {{data}} and "
                "{data.FIELD}"
            )
    if _LONE_BRACE.search(_PART.sub("", name)):
        raise InvalidOptionError(f"option {option}: a brace is missing in {name!r}")
    return name


def filled(option: str, name: str, document: Mapping[str, Any]) -> str:
    """Returns a name with the values of a new job in its braces; InvalidOptionError if a value cannot stand there."""
    if "{" not in name:
        return name
    return limit_name(option, _PART.sub(lambda part: _value(option, name, part[1], document), name))


def _value(option: str, name: str, part: str, document: Mapping[str, Any]) -> str:
    value: Any = document
    for step in part.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, str | int | ObjectId) or value == "":
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise InvalidOptionError(
            f"option {option}: {{{part}}} in {name!r} must be a text, an integer or an id in this job, not {found}"
        )
    return str(value).replace("*", "_")
