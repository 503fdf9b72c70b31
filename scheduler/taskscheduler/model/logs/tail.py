"""LogTail: the newest part of the log of one attempt, of which a part is stored."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from bson import ObjectId

from taskscheduler.clock import NEVER
from taskscheduler.model.document import Document
from taskscheduler.model.logs.lines import LOG, Entry, chunk_document

MOST = 1024 * 1024  #: bytes that are kept of an attempt

CHUNK = 64 * 1024  #: bytes of a chunk, and of one entry more

EACH_SECOND = 256 * 1024  #: bytes of an attempt that are stored in a second, once it has used up MOST at once


class Log(NamedTuple):
    """Whose log it is: a job and the number of the attempt, or a batch and 1."""

    job: ObjectId
    attempt: int


def _order(entry: Entry) -> tuple[float, bool]:
    """Of the same time, what was printed is older: its time is at most that of the record that came after it."""
    return entry.at, entry.stream == LOG


class LogTail:
    """Takes entries, gives them out in chunks to be stored, and says which stored ones are too many."""

    def __init__(self, log: Log, most: int = MOST) -> None:
        self.log = log
        self._most = most
        self._unsaved: deque[Entry] = deque()
        self._stored: deque[tuple[int, int]] = deque()  #: number and size of each chunk
        self.unsaved_size = self._stored_size = 0
        self._number = 0  #: of the next chunk
        self._start = 0  #: bytes before it
        self._allowed, self._asked_at = float(most), 0.0
        self._trimmed = False

    def add(self, entry: Entry) -> None:
        """Adds an entry; drops the oldest ones that there is no more room for."""
        self._unsaved.append(entry)
        self.unsaved_size += entry.size
        while self._stored_size + self.unsaved_size > self._most and len(self._unsaved) + len(self._stored) > 1:
            if self._stored:
                self._stored_size -= self._stored.popleft()[1]
                self._trimmed = True
            else:
                self._start += self._drop()

    def _drop(self) -> int:
        size = self._unsaved.popleft().size
        self.unsaved_size -= size
        return size

    def chunks(self, now: float, until: float, everything: bool = False) -> list[Document]:
        """Removes what may be stored now, in the order of its times, and returns it in chunks.

        `until` is the unix time up to which all is known that was logged. An attempt that writes more than is kept
        would have all of it stored and deleted again, so the rest waits. With `everything`, nothing waits.
        """
        self._allowed = min(self._most, self._allowed + (now - self._asked_at) * EACH_SECOND)
        self._asked_at = now
        found: list[Document] = []
        self._unsaved = deque(sorted(self._unsaved, key=_order))
        while self._unsaved and (everything or (self._allowed > 0 and self._unsaved[0].at <= until)):
            found.append(self._chunk(NEVER if everything else until))
            self._allowed -= found[-1]["size"]
        return found

    def _chunk(self, until: float) -> Document:
        entries, size = list[Entry](), 0
        while self._unsaved and size < CHUNK and self._unsaved[0].at <= until:
            entries.append(self._unsaved[0])
            size += self._drop()
        chunk = chunk_document(*self.log, self._number, self._start, entries)
        self._stored.append((self._number, size))
        self._stored_size += size
        self._number += 1
        self._start += size
        return chunk

    def to_trim(self) -> int | None:
        """Returns the number before which stored chunks are to be deleted; None if none are since the last call."""
        trimmed, self._trimmed = self._trimmed, False
        return (self._stored[0][0] if self._stored else self._number) if trimmed else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._number and not self._unsaved
