"""A page of memory that a worker shares with its manager, for signs of life that are not worth a message each."""

from __future__ import annotations

import mmap
import struct

_SLOT = struct.Struct("<QI")
SLOT_SIZE = 4096


class Slot:
    """A page shared with the manager: the newest sign of life that was not worth a message of its own."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, SLOT_SIZE)
        self._version = 0

    def write(self, content: bytes) -> None:
        """Leave a note; an odd version means that it is being written."""
        content = content if len(content) <= SLOT_SIZE - _SLOT.size else b""
        self._version += 2
        _SLOT.pack_into(self._page, 0, self._version - 1, len(content))
        self._page[_SLOT.size : _SLOT.size + len(content)] = content
        _SLOT.pack_into(self._page, 0, self._version, len(content))

    def read(self, seen: int) -> tuple[int, bytes] | None:
        """The version and the note, if there is one newer than `seen`."""
        version, length = _SLOT.unpack_from(self._page, 0)
        if version == seen or version % 2:
            return None
        content = self._page[_SLOT.size : _SLOT.size + length]
        return (version, content) if _SLOT.unpack_from(self._page, 0)[0] == version else None

    def close(self) -> None:
        self._page.close()
