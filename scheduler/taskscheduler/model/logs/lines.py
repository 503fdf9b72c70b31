"""Lines of the log of an attempt, and the chunks in which they are stored.

A chunk: `{job, attempt, n, start, size, entries}`. Chunks of an attempt are numbered; `start` says how many bytes came
before it, so that what was left out shows. An entry is a log record, or what was read at once from a standard stream:
many lines with one time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import Document

STDOUT, STDERR, LOG = "stdout", "stderr", "log"

GAP = "gap"  #: the stream of a line that says what is missing in its place

LEAST_SIZE = 48  #: bytes that an entry counts at least

_OF_GAP = -1  #: the place of such a line in its chunk


class Entry(NamedTuple):
    """A log record, or lines of a standard stream."""

    at: float  #: unix time
    stream: str
    text: bytes
    level: str = ""
    logger: str = ""

    @property
    def size(self) -> int:
        """The bytes that it counts."""
        return max(LEAST_SIZE, len(self.text) + len(self.logger) + 1)

    def document(self) -> Document:
        """Returns it as it is stored. Bytes that are no UTF-8 are replaced."""
        entry: Document = {"at": datetime.fromtimestamp(self.at, UTC), "stream": self.stream}
        if self.stream == LOG:
            entry |= {"level": self.level, "logger": self.logger}
        return entry | {"text": self.text.decode(errors="replace")}


class Cursor(NamedTuple):
    """The place of a line among those of its job."""

    attempt: int
    chunk: int
    line: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.chunk}.{self.line}"

    @classmethod
    def of(cls, text: str) -> Cursor:
        """Reads a cursor; InvalidOptionError if it is none."""
        parts = text.split(".") if isinstance(text, str) else []
        try:
            attempt, chunk, line = (int(part) for part in parts if len(part) < 12)
        except ValueError:
            raise InvalidOptionError(f"cursor {text!r:.60} is none that a page of a log has given") from None
        return cls(attempt, chunk, line)


_NOWHERE = Cursor(0, 0, 0)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log of an attempt."""

    attempt: int
    at: datetime  #: when it was logged, or read from a standard stream, by the clock of the node
    stream: str  #: "log" for a record; "stdout" or "stderr"; "gap" for a note about what is missing here
    text: str  #: of a record it may have more than one line
    level: str | None = None  #: of a record, such as INFO
    logger: str | None = None  #: of a record: the name of its logger
    cursor: Cursor = _NOWHERE  #: its place

    def __str__(self) -> str:
        """The line with its time, level and logger, as it stands in a file."""
        time = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = f"{self.level:<5} {self.logger}:" if self.stream == LOG else f"{self.stream:<6}"
        return f"{time} {head} {self.text}"


def chunk_document(job: ObjectId, attempt: int, number: int, start: int, entries: Sequence[Entry]) -> Document:
    """Returns a chunk as it is stored."""
    return {
        "_id": ObjectId(),
        "job": job,
        "attempt": attempt,
        "n": number,
        "start": start,
        "size": sum(entry.size for entry in entries),
        "entries": [entry.document() for entry in entries],
    }


def lines_of(chunk: Mapping[str, Any], attempt: int) -> Iterator[LogLine]:
    """Yields the lines of a stored chunk; what is none is left out."""
    number, place, entries = _number(chunk, "n"), 0, chunk.get("entries")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("text"), str):
            continue
        for text in _texts(entry):
            yield _line(entry, text, Cursor(attempt, number, place))
            place += 1


def _texts(entry: Mapping[str, Any]) -> list[str]:
    text: str = entry["text"]
    return [text] if entry.get("stream") == LOG else text.removesuffix("\n").split("\n")


def _line(entry: Mapping[str, Any], text: str, cursor: Cursor) -> LogLine:
    at, stream = entry.get("at"), entry.get("stream")
    time = at if isinstance(at, datetime) else datetime.fromtimestamp(0, UTC)
    if stream != LOG:
        return LogLine(cursor.attempt, time, STDERR if stream == STDERR else STDOUT, text, cursor=cursor)
    level, name = (str(entry.get(field, "")) for field in ("level", "logger"))
    return LogLine(cursor.attempt, time, LOG, text, level, name, cursor)


def start_of(chunk: Mapping[str, Any]) -> int:
    """Returns how many bytes there were before a chunk."""
    return _number(chunk, "start")


def end_of(chunk: Mapping[str, Any]) -> int:
    """Returns how many bytes there were up to the end of a chunk."""
    return start_of(chunk) + _number(chunk, "size")


def gap_before(chunk: Mapping[str, Any], attempt: int, end: int | None) -> LogLine | None:
    """Returns the line that says what is missing before a chunk; None if nothing is.

    `end` is that of the chunk before: 0 if this is the first one, None if it is missing itself.
    """
    missing = _number(chunk, "start") - end if end is not None else -1
    if not missing or (missing < 0 and end is not None):
        return None
    first = next(lines_of(chunk, attempt), None)
    what = "lines" if missing < 0 else f"{missing:,} bytes"
    text = f"[{what} are missing here: of each attempt only the newest MiB is kept]"
    at = first.at if first else datetime.fromtimestamp(0, UTC)
    return LogLine(attempt, at, GAP, text, cursor=Cursor(attempt, _number(chunk, "n"), _OF_GAP))


def _number(chunk: Mapping[str, Any], field: str) -> int:
    value = chunk.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
