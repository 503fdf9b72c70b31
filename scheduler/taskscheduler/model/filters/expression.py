"""Filter: an expression of the filter language, read once and turned into a MongoDB query at any time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import near_miss
from taskscheduler.model.filters.job_query import STATUS_ALIASES
from taskscheduler.model.filters.keys import ALIASES, DATA, KEYS, STATUSES, Key, canonical, key_of
from taskscheduler.model.filters.values import FilterError, Value

LONGEST = 10_000  #: characters

_SPACE = re.compile(r"\s*")

_TERM = re.compile(
    r"""(?:(?P<key>[^\s":,<>]+):)?(?P<operator>>=|<=|>|<)?(?P<values>(?:"(?:[^"\\]|\\.)*"|[^\s"])*)""", re.DOTALL
)

_COMPARED = re.compile(r"(?P<key>[\w.]+)(?P<operator>[=<>]=?)(?P<value>.+)", re.DOTALL)  #: a key without its colon

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

_PIECES = re.compile(r',|(?:"(?:[^"\\]|\\.)*"|[^",])+', re.DOTALL)

_SOME_DATE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a filter: a key, an operator, and values of which a job must have one."""

    key: str  #: empty for a text that may stand in several fields
    operator: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return (f"{self.key}:" if self.key else "") + self.operator + ",".join(map(str, self.values))

    def condition(self, now: datetime) -> dict[str, Any]:
        """Returns the condition of a query; FilterError."""
        return _checked(self, key_of(self.key)).condition(self.operator, self.values, now)


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a job must fulfil, all of them. Its text is an expression that reads as the same filter."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Reads an expression; InvalidOptionError names the part that is wrong, and what is allowed."""
        _check_text(text)
        terms, at = list[Term](), 0
        while (at := _skip_space(text, at)) < len(text):
            term, at = _read(text, at)
            terms.append(term)
        return cls(tuple(terms))

    def names(self, key: str) -> bool:
        """Whether a condition is about this key."""
        return any(term.key == key for term in self.terms)

    def query(self, now: datetime) -> dict[str, Any]:
        """Returns the query for jobs that fulfil it at `now`, in the server's time. InvalidOptionError."""
        try:
            return all_of(term.condition(now) for term in self.terms)
        except FilterError as error:  # a time ago that is no date
            raise InvalidOptionError(f"filter {self!s:.100}: {error}") from None

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


def all_of(conditions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Returns the query for jobs that fulfil all of these conditions."""
    query, others = dict[str, Any](), list[dict[str, Any]]()
    for condition in conditions:
        if query.keys() & condition.keys():
            others.append(condition)
        else:
            query |= condition
    return all_of([query, {"$and": others}]) if others else query


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise InvalidOptionError(f'a filter must be a text such as "status:failed class:Mail", not {text!r:.60}')
    if len(text) > LONGEST:
        raise InvalidOptionError(f"a filter must have {LONGEST} characters at most, not {len(text)}")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidOptionError("a filter must be a text of Unicode characters without NUL")


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _read(text: str, at: int) -> tuple[Term, int]:
    """Reads the term that begins at a place; returns it and where it ends."""
    found = _TERM.match(text, at)
    end = at if found is None else found.end()
    closed = end > at and (end == len(text) or text[end].isspace())
    part = text[at : end if closed else len(text)]
    try:
        if found is None or not closed:
            raise FilterError("a quote is not closed, or text follows it")
        term = _term(found["key"], found["operator"] or "", found["values"])
        term.condition(_SOME_DATE)
    except FilterError as error:
        raise InvalidOptionError(f"filter {part!r:.100}: {error}") from None
    return term, end


def _term(name: str | None, operator: str, written: str) -> Term:
    key = canonical(name or "")
    if not written:
        raise FilterError("a value is missing" if key else "a key is missing")
    separate = bool(key) and key.partition(".")[0] != DATA
    return Term(key, operator, tuple(map(_value, _split(written) if separate else [written])))


def _split(written: str) -> list[str]:
    """Splits values at the commas between them; those in quotes belong to a value."""
    parts = [""]
    for piece in _PIECES.findall(written):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _value(written: str) -> Value:
    if quoted := _QUOTED.fullmatch(written):
        return Value(_ESCAPED.sub(r"\1", quoted[1]), quoted=True)
    if '"' in written:
        raise FilterError("quotes must stand around the whole value")
    return Value(written)


def _checked(term: Term, key: Key) -> Key:
    if term.operator and not key.ordered:
        raise FilterError(
            f"{term.key or 'a text'} cannot be compared with {term.operator}; that is for numbers, dates and data"
        )
    if len(term.values) > 1 and (term.operator or not key.several):
        raise FilterError(f"{term.key} takes one value")
    if term.key == "":
        _check_is_text(term.values[0])
    return key


def _check_is_text(value: Value) -> None:
    """Refuses a text without a key that was probably meant to be a key or a status."""
    if not value.text:
        raise FilterError("a text must not be empty")
    if value.quoted:
        return
    if value.text.startswith(":"):
        raise FilterError("a key is missing")
    name = value.text.lower()
    if name in STATUSES or name in STATUS_ALIASES:
        meant = f"status:{STATUS_ALIASES.get(name, name)}"
        raise FilterError(f'did you mean {meant}? To look for the text write "{value.text}"')
    if name in KEYS or name in ALIASES:
        raise FilterError(f'did you mean {ALIASES.get(name, name)}:…? To look for the text write "{value.text}"')
    if meant := _without_colon(value.text):
        raise FilterError(f'did you mean {meant}? To look for the text write "{value.text}"')
    if "*" in name:
        raise FilterError(f"a text is found anywhere: leave out the *, or give a key{near_miss(name, KEYS, ALIASES)}")


def _without_colon(text: str) -> str:
    """Returns what was meant by a text such as `status=failed`; empty if it begins with no key."""
    found = _COMPARED.match(text)
    if found is None or found["key"].partition(".")[0].lower() not in {*KEYS, *ALIASES, DATA}:
        return ""
    operator = "" if found["operator"].startswith("=") else found["operator"]
    return f"{canonical(found['key'])}:{operator}{found['value']}"
