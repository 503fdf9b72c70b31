"""Failures of one mistake: where in a job's own code it is, and the fingerprint that all of them share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.exception_texts import cut, tried

_DIGEST = 6  #: bytes: of 10,000 mistakes no two share a fingerprint, but for one chance in five million


class Place(NamedTuple):
    """A line of code."""

    file: str
    line: int
    function: str
    offset: int  #: of the line in its function, which stays the same when code above it changes

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True)
class Failure:
    """The jobs that failed for good by the same mistake: same class, type of exception and place in the job's code."""

    fingerprint: str
    job: str  #: the registered name of the job's class
    type: str  #: of the exception, such as `ValueError`
    place: str | None  #: in the job's own code, such as `mail.py:42 in Mail.start`; None if nothing of it was running
    message: str  #: of the last failure
    count: int  #: how many jobs; 10 001 at most, fewer if many mistakes have many jobs, see `is_complete`
    first: datetime  #: when the first of those that are kept failed
    last: datetime
    example: ObjectId  #: the id of the job that failed last
    is_complete: bool = True  #: whether all of them are counted


def place_of(error: BaseException, module: str) -> Place | None:
    """Returns the innermost line in this module that the exception came through, else in its top-level package.

    None if there is none. The code of the exception cannot make this fail.
    """
    return tried(lambda: _place_of(error, module), lambda: None) if module else None


def _place_of(error: BaseException, module: str) -> Place | None:
    own = near = None
    for trace in _traces(error.__traceback__):
        name = str(trace.tb_frame.f_globals.get("__name__"))
        if name == module:
            own = trace
        elif name.partition(".")[0] == module.partition(".")[0]:
            near = trace
    found = own or near
    if found is None:
        return None
    code, line = found.tb_frame.f_code, found.tb_lineno or 0
    return Place(cut(PurePath(code.co_filename).name), line, cut(code.co_qualname), line - code.co_firstlineno)


def _traces(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def fingerprint_at(place: Place, job: str, kind: str) -> str:
    """Returns the fingerprint of a failure at this place: whatever its message, and wherever the function stands."""
    return _digest(job, kind, place.file, place.function, str(place.offset))


def fingerprint_of(error: Mapping[str, Any] | None, job: str = "") -> str:
    """Returns the fingerprint of an error that no line of code is known of, such as a timeout."""
    known = error or {}
    return _digest(job, str(known.get("type", "")), str(known.get("place", "")))


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode(errors="replace")
    return hashlib.blake2b(text, digest_size=_DIGEST).hexdigest()


def is_fingerprint(value: Any) -> bool:
    """Whether a value is what the functions above return."""
    return isinstance(value, str) and len(value) == 2 * _DIGEST and all(digit in "0123456789abcdef" for digit in value)
