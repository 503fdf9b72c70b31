"""Packs messages of any size into frames of limited size, and back; a lost or damaged frame costs only itself.

A frame: crc32 of the rest, sequence number, offset of the first message that starts in it; then a slice of the stream
of messages, each after its length. A reader that misses a frame goes on with the first message that starts later.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque

_HEADER = struct.Struct("<IIH")

_LENGTH = struct.Struct("<I")

_CRC = struct.Struct("<I")

_NO_START = 0xFFFF

_HALF = 0x7FFFFFFF

LARGEST_MESSAGE = 64 * 1024 * 1024


class FrameWriter:
    """Packs messages into frames of at most `size` bytes."""

    def __init__(self, size: int) -> None:
        self._room = size - _HEADER.size
        self._pending: deque[bytes] = deque()
        self._urgent = 0  #: how many of them go before the others
        self._rest = memoryview(b"")  #: of a message whose beginning is sent
        self._sequence = 0

    def push(self, *messages: bytes) -> None:
        """Appends messages."""
        self._pending += messages

    def push_first(self, message: bytes) -> None:
        """Puts a message before all that are not partly packed, and behind those that were put there so before."""
        self._pending.insert(self._urgent, message)
        self._urgent += 1

    def __bool__(self) -> bool:
        return bool(self._rest or self._pending)

    def frame(self) -> bytes:
        """Returns the next frame, as full as possible."""
        room, pending = self._room, self._pending
        parts = [bytes(self._rest[:room])]
        self._rest = self._rest[room:]
        filled = len(parts[0])
        start = filled if pending and filled + _LENGTH.size < room else _NO_START
        while pending and filled + _LENGTH.size < room:
            message = pending.popleft()
            if self._urgent:
                self._urgent -= 1
            parts += (_LENGTH.pack(len(message)), message)
            filled += _LENGTH.size + len(message)
        body = b"".join(parts)
        if filled > room:
            body, self._rest = body[:room], memoryview(body)[room:]
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        tail = _HEADER.pack(0, self._sequence, start)[_CRC.size :] + body
        return _CRC.pack(zlib.crc32(tail)) + tail


class FrameReader:
    """Unpacks frames; counts damaged and missing ones in `faults`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 0  #: bytes that complete the message which the buffer begins with
        self._next = 1  #: the sequence number to come
        self._in_step = True  #: nothing is missing before the next frame
        self.faults = 0

    def feed(self, frame: bytes) -> list[bytes]:
        """Returns the messages that this frame completes."""
        if len(frame) < _HEADER.size or _CRC.unpack_from(frame)[0] != zlib.crc32(frame[_CRC.size :]):
            self._lose()
            return []
        _, sequence, start = _HEADER.unpack_from(frame)
        if (sequence - self._next) & 0xFFFFFFFF > _HALF:
            self.faults += 1  # a frame that was read before
            return []
        if sequence != self._next and self._in_step:
            self._lose()
        self._next = (sequence + 1) & 0xFFFFFFFF
        if not self._in_step:
            if start == _NO_START:
                return []
            self._in_step = True
            return self._split(frame, _HEADER.size + start)
        if not self._buffer:
            return self._split(frame, _HEADER.size)  # as most messages are whole: without a copy of them all
        self._buffer += memoryview(frame)[_HEADER.size :]
        if len(self._buffer) < self._needed:
            return []
        joined = bytes(self._buffer)
        self._buffer.clear()
        return self._split(joined, 0)

    def _lose(self) -> None:
        self.faults += 1
        self._buffer.clear()
        self._needed = 0
        self._in_step = False

    def _split(self, stream: bytes, position: int) -> list[bytes]:
        """Returns the messages that are whole from this position on, and keeps the rest."""
        messages: list[bytes] = []
        length_at, size = _LENGTH.unpack_from, len(stream)
        self._needed = 0
        while (start := position + _LENGTH.size) <= size:
            (length,) = length_at(stream, position)
            end = start + length
            if end > size:
                if length > LARGEST_MESSAGE:
                    self._lose()
                    return messages
                self._needed = end - position
                break
            messages.append(stream[start:end])
            position = end
        if position < size:
            self._buffer += memoryview(stream)[position:]
        return messages
