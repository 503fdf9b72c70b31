"""WorkerStreams: finds out whose output it is that was read from the pipes of a worker. Pure.

Raw bytes are those of the next END in their pipe. Where there is none yet, the page says whose they are: a worker
writes END before the next run begins, so if the page says the same before and after a read that took all there was, it
holds for what was read.
"""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.model.logs.lines import LOG, STDERR, STDOUT, Entry
from taskscheduler_daemon.ipc.output import NOBODY, Frame, FrameKind, FrameReader, record_of
from taskscheduler_daemon.ipc.output_pipes import OUT, PIPES

Key = tuple[bytes, int]  #: a job and its attempt, or a batch and 1

_LONGEST_LINE = 16 * 1024  #: bytes; a longer one is stored in parts

_PATIENCE = 1.0  #: seconds after which the beginning of a line is stored without the rest

_LONGEST_RECORD = 256 * 1024  #: bytes of the parts of one that are kept until the last one comes

_STREAM_OF = {OUT: STDOUT}


class Output(NamedTuple):
    """Something that an attempt has logged or printed; of nobody: what no attempt has."""

    key: Key | None
    entry: Entry


class _Unfinished:
    """The beginning of a line."""

    def __init__(self) -> None:
        self.text = b""
        self.since = 0.0


class PipeReader:
    """One pipe of a worker."""

    def __init__(self, pipe: int) -> None:
        self._stream = _STREAM_OF.get(pipe, STDERR)
        self._frames = FrameReader()
        self._raw: list[tuple[float, bytes]] = []  #: bytes of which it is not known yet whose they are
        self._since = 0.0  #: when the worker has written what comes next, at the earliest
        self._lines: dict[Key | None, _Unfinished] = {}
        self._parts: dict[int, bytes] = {}  #: of messages whose last part has not come
        self.has_unended = False  #: whether something was read that no END has come after
        self.ended: list[tuple[Key, bytes]] = []  #: attempts whose END was read, and the pipes in which one stands

    def feed(self, data: bytes, now: float) -> list[Output]:
        """Takes what was read, and returns what is known to be of somebody."""
        found: list[Output] = []
        for item in self._frames.feed(data):
            self.has_unended = True
            if isinstance(item, Frame):
                found += self._frame(item)
            else:
                self._raw.append((max(now, self._since), item))
        return found

    @property
    def is_undecided(self) -> bool:
        """Whether there are bytes of which it is not known whose they are."""
        return bool(self._raw)

    def decide(self, key: Key | None) -> list[Output]:
        """Returns the bytes that were read, as those of this attempt."""
        raw, self._raw = self._raw, []
        return [one for at, data in raw for one in self._text(key, data, at)]

    def _frame(self, frame: Frame) -> list[Output]:
        key: Key = (frame.job_id, frame.attempt)
        if frame.kind is FrameKind.END:
            return self._end(key, frame)
        self._since = frame.at
        self._raw = [(min(at, frame.at), data) for at, data in self._raw]
        if frame.kind is FrameKind.TICK:
            return []
        payload = self._parts.pop(frame.number, b"") + frame.payload
        if frame.more and len(payload) < _LONGEST_RECORD:
            self._parts[frame.number] = payload
            return []
        if frame.kind is FrameKind.TEXT:
            return self._text(key, payload, frame.at)
        level, logger, text = record_of(payload)
        return [Output(key, Entry(frame.at, LOG, part, level, logger)) for part in _parts(text)]

    def _end(self, key: Key, frame: Frame) -> list[Output]:
        whose = key if frame.job_id != NOBODY else None
        found = self.decide(whose)
        self.has_unended = False
        if frame.payload:
            found += self._rest_of(key)
            self.ended.append((key, frame.payload))
        return found

    def _text(self, key: Key | None, data: bytes, at: float) -> list[Output]:
        """Returns the lines that are complete; of several at once only one entry."""
        unfinished = self._lines.setdefault(key, _Unfinished())
        text = unfinished.text + data
        cut = text.rfind(b"\n") + 1
        complete, rest = text[:cut], text[cut:]
        while len(rest) > _LONGEST_LINE:
            part = _whole_characters(rest[:_LONGEST_LINE])
            complete += part + b"\n"
            rest = rest[len(part) :]
        if rest and (complete or not unfinished.text):
            unfinished.since = at
        unfinished.text = rest
        return [Output(key, Entry(at, self._stream, complete))] if complete else []

    def _rest_of(self, key: Key | None) -> list[Output]:
        unfinished = self._lines.pop(key, None)
        if unfinished is None or not unfinished.text:
            return []
        return [Output(key, Entry(unfinished.since, self._stream, unfinished.text))]

    def overdue(self, now: float) -> list[Output]:
        """Returns the beginnings of lines that have waited for their ends for too long."""
        late = [key for key, line in self._lines.items() if line.text and now - line.since >= _PATIENCE]
        return [one for key in late for one in self._rest_of(key)]

    @property
    def has_beginnings(self) -> bool:
        """Whether there is a line that is not complete."""
        return any(line.text for line in self._lines.values())

    def close(self, key: Key | None, now: float) -> list[Output]:
        """Returns the rest at the end of the pipe; raw bytes are those of this attempt."""
        if rest := self._frames.end():
            self._raw.append((max(now, self._since), rest))
        found = self.decide(key)
        return found + [one for whose in list(self._lines) for one in self._rest_of(whose)]


def _parts(text: bytes) -> list[bytes]:
    parts = []
    while len(text) > _LONGEST_LINE:
        parts.append(_whole_characters(text[:_LONGEST_LINE]))
        text = text[len(parts[-1]) :]
    return [*parts, text]


def _whole_characters(text: bytes) -> bytes:
    """Returns the text without a character at its end that is not complete."""
    for back in range(1, min(4, len(text)) + 1):
        byte = text[-back]
        if byte & 0xC0 != 0x80:  # where a character begins
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return text[:-back] if length > back else text
    return text


class WorkerStreams:
    """The pipes of one worker, and which attempts have ended in all of them."""

    def __init__(self) -> None:
        self.pipes = tuple(PipeReader(pipe) for pipe in PIPES)
        self._ended: dict[Key, set[int]] = {}
        self._seen: set[Key] = set()  #: attempts that have had output and have not ended

    def took(self, found: list[Output]) -> None:
        """Notes whose output it was."""
        self._seen.update(one.key for one in found if one.key is not None)

    def ended(self, pipe: int) -> list[Key]:
        """Returns the attempts whose last END has come with what this pipe has read."""
        reader, complete = self.pipes[pipe], list[Key]()
        for key, wanted in reader.ended:
            seen = self._ended.setdefault(key, set())
            seen.add(pipe)
            if seen.issuperset(wanted):
                complete.append(key)
                del self._ended[key]
                self._seen.discard(key)
        reader.ended = []
        return complete

    def close(self, current: Key | None) -> list[Key]:
        """Returns the attempts that end with the worker, which was at this one."""
        found = {*self._seen, *self._ended, *([current] if current is not None else [])}
        self._ended, self._seen = {}, set()
        return list(found)
