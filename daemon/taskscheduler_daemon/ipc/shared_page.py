"""A page of memory that a worker shares with its manager: what is not worth a message, or could not be received."""

from __future__ import annotations

import mmap
import struct

_TOUCHED = struct.Struct("d")  #: aligned, so that it is never read half written

_SLOT = struct.Struct("<QI")

_START = _TOUCHED.size

_CONTENT = _START + _SLOT.size

SLOT_SIZE = 4096

_VERDICT = SLOT_SIZE - 1  #: the byte in which the manager says why it interrupts the job

ROOM = _VERDICT - _CONTENT  #: bytes that a note may have


class SharedPage:
    """A page shared with the manager: when the job last gave a sign of life, what it said, why it is interrupted."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, SLOT_SIZE)
        self._version = 0

    def touch(self, now: float) -> None:
        """Note a sign of life, by the monotonic clock of this host."""
        _TOUCHED.pack_into(self._page, 0, now)

    def touched(self) -> float:
        """When the last sign of life was given; 0: never."""
        return float(_TOUCHED.unpack_from(self._page, 0)[0])

    def write(self, content: bytes) -> None:
        """Leave a note; an odd version means that it is being written."""
        content = content if len(content) <= ROOM else b""
        self._version += 2
        _SLOT.pack_into(self._page, _START, self._version - 1, len(content))
        self._page[_CONTENT : _CONTENT + len(content)] = content
        _SLOT.pack_into(self._page, _START, self._version, len(content))

    def read(self, seen: int) -> tuple[int, bytes] | None:
        """The version and the note, if there is one newer than `seen`."""
        version, length = _SLOT.unpack_from(self._page, _START)
        if version == seen or version % 2:
            return None
        content = self._page[_CONTENT : _CONTENT + length]
        return (version, content) if _SLOT.unpack_from(self._page, _START)[0] == version else None

    @property
    def kill_status(self) -> int:
        """What becomes of the job that is being interrupted: a Status, of which 0 (WAITING) is the default."""
        return self._page[_VERDICT]

    @kill_status.setter
    def kill_status(self, status: int) -> None:
        self._page[_VERDICT] = status

    def close(self) -> None:
        self._page.close()
