"""A memory page shared by a worker and its manager: sign of life, latest progress, kill status."""

from __future__ import annotations

import mmap
import struct

_TOUCHED = struct.Struct("d")  #: aligned, so that it is never read half written

_NOTE = struct.Struct("<QI")  #: version and length

_START = _TOUCHED.size

_CONTENT = _START + _NOTE.size

PAGE_SIZE = 4096

_KILL_STATUS = PAGE_SIZE - 1  #: the byte with the kill status

ROOM = _KILL_STATUS - _CONTENT  #: bytes of a note


class SharedPage:
    """Carries what is not worth a message, or could not be received: the job may not be reading."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, PAGE_SIZE)
        self._version = 0

    def touch(self, now: float) -> None:
        """Notes a sign of life, in seconds of the monotonic clock of this host."""
        _TOUCHED.pack_into(self._page, 0, now)

    def touched(self) -> float:
        """Returns when the last sign of life was given; 0: never."""
        return float(_TOUCHED.unpack_from(self._page, 0)[0])

    def write(self, content: bytes) -> None:
        """Replaces the note; an odd version means that it is being written. A note that is too large becomes empty."""
        content = content if len(content) <= ROOM else b""
        self._version += 2
        _NOTE.pack_into(self._page, _START, self._version - 1, len(content))
        self._page[_CONTENT : _CONTENT + len(content)] = content
        _NOTE.pack_into(self._page, _START, self._version, len(content))

    def read(self, seen: int) -> tuple[int, bytes] | None:
        """Returns version and note, if there is one newer than `seen`."""
        version, length = _NOTE.unpack_from(self._page, _START)
        if version == seen or version % 2:
            return None
        content = self._page[_CONTENT : _CONTENT + length]
        return (version, content) if _NOTE.unpack_from(self._page, _START)[0] == version else None

    @property
    def kill_status(self) -> int:
        """The status that the interrupted job gets; 0 (WAITING) by default."""
        return self._page[_KILL_STATUS]

    @kill_status.setter
    def kill_status(self, status: int) -> None:
        self._page[_KILL_STATUS] = status

    def close(self) -> None:
        """Unmaps the page."""
        self._page.close()
