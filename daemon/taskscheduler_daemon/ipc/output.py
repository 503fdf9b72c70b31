"""What a worker writes to its output pipes: the raw bytes of its standard streams, and frames between them.

There is a pipe for each standard stream; log records go with the standard error. A frame is written at once and no
longer than a pipe takes at once, so nothing can stand in the middle of one, whatever is killed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"\xf5\x00ts\xfflog"  #: no text contains it

_HEAD = struct.Struct("<8sBBH12sIdI")

HEAD_SIZE = _HEAD.size

MOST_PAYLOAD = 4096 - _HEAD.size  #: PIPE_BUF of Linux


class FrameKind(IntEnum):
    """What a frame says."""

    END = 1  #: the raw bytes before it are of this attempt; an empty payload, or the pipes in which it stands
    RECORD = 2  #: a log record: level, logger and text
    TEXT = 3  #: what an async job has printed
    TICK = 4  #: the time: the raw bytes before it are no younger, and those after it no older


class Frame(NamedTuple):
    """One frame."""

    kind: FrameKind
    job_id: bytes
    attempt: int
    at: float  #: unix time
    payload: bytes = b""
    number: int = 0  #: the parts of one message have the same
    more: bool = False  #: whether another part follows


NOBODY = bytes(12)

_BETWEEN = b"\0"


def encode(frame: Frame) -> Iterator[bytes]:
    """Yields a message in as many frames as it takes."""
    payload, start = frame.payload, 0
    while True:
        part = payload[start : start + MOST_PAYLOAD]
        start += MOST_PAYLOAD
        more = start < len(payload)
        head = _HEAD.pack(MAGIC, frame.kind, more, len(part), frame.job_id, frame.attempt, frame.at, frame.number)
        yield head + part
        if not more:
            return


def record_payload(level: str, logger: str, text: str) -> bytes:
    """Encodes what a record says."""
    head = (part.replace("\0", " ") for part in (level, logger))
    return _BETWEEN.join(part.encode(errors="backslashreplace") for part in (*head, text))


def record_of(payload: bytes) -> tuple[str, str, bytes]:
    """Decodes level, logger and text of a record, whatever a job has written."""
    level, _, rest = payload.partition(_BETWEEN)
    logger, _, text = rest.partition(_BETWEEN)
    return level[:20].decode(errors="replace"), logger[:200].decode(errors="replace"), text


class FrameReader:
    """Takes apart what was read from a pipe. What only looks like a frame counts as raw bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes | Frame]:
        """Yields raw bytes and frames in their order; the beginning of a frame waits for the rest of it."""
        data, start = self._rest + data, 0
        self._rest = b""
        while (at := data.find(MAGIC, start)) >= 0:
            if at > start:
                yield data[start:at]
            frame = _frame_at(data, at)
            if frame is None:
                self._rest = data[at:]
                return
            if isinstance(frame, bytes):
                yield frame
                start = at + len(frame)
            else:
                yield frame
                start = at + HEAD_SIZE + len(frame.payload)
        self._rest = _beginning_at_end(data[start:])
        if start < len(data) - len(self._rest):
            yield data[start : len(data) - len(self._rest)]

    def end(self) -> bytes:
        """Returns what is left at the end: no frame."""
        rest, self._rest = self._rest, b""
        return rest


def _frame_at(data: bytes, at: int) -> Frame | bytes | None:
    """Returns the frame that begins there, None if it is not complete, or the bytes that only look like it."""
    if len(data) - at < HEAD_SIZE:
        return None
    _, kind, more, length, job_id, attempt, time, number = _HEAD.unpack_from(data, at)
    if not 1 <= kind <= len(FrameKind) or length > MOST_PAYLOAD or not 0 <= time < 2**33:
        return MAGIC
    if len(data) - at < HEAD_SIZE + length:
        return None
    payload = data[at + HEAD_SIZE : at + HEAD_SIZE + length]
    return Frame(FrameKind(kind), job_id, attempt, time, payload, number, bool(more))


def _beginning_at_end(data: bytes) -> bytes:
    """Returns the end of the data with which a frame may begin."""
    for length in range(min(len(MAGIC) - 1, len(data)), 0, -1):
        if data.endswith(MAGIC[:length]):
            return data[-length:]
    return b""
