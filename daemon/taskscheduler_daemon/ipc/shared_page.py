"""A memory page shared by a worker and its manager: sign of life, CPU time, progress, kill status, signals."""

from __future__ import annotations

import mmap
import struct

from taskscheduler_daemon.ipc.begun_page import BegunPage, BegunRow
from taskscheduler_daemon.ipc.messages import NOT_MEASURED
from taskscheduler_daemon.system.stack_dump import StackFile

_TOUCHED = struct.Struct("d")  #: aligned, so that it is never read half written

_NOTE = struct.Struct("<QI")  #: version and length

_SPENT = struct.Struct("d")  #: the same

_START = _TOUCHED.size + _SPENT.size

_CONTENT = _START + _NOTE.size

PAGE_SIZE = 4096

_KILL_STATUS = PAGE_SIZE - 1  #: the byte with the kill status

_SIGNALLED = PAGE_SIZE - 2  #: the byte that says whether the running job was interrupted by a signal

ROOM = _SIGNALLED - _CONTENT  #: bytes of a note


class SharedPage:
    """Carries what is not worth a message, or could not be received: the job may not be reading."""

    def __init__(self, row: BegunRow | None = None) -> None:
        self.row = row or BegunPage(1).row(1)  #: where the worker notes what it has begun
        self._page = mmap.mmap(-1, PAGE_SIZE)
        self._version = 0
        self.stacks = StackFile()  #: where the worker says where it is
        self.spent = NOT_MEASURED

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

    @property
    def spent(self) -> float:
        """The CPU seconds that the worker had spent when its only run began; NOT_MEASURED if it has several."""
        return float(_SPENT.unpack_from(self._page, _TOUCHED.size)[0])

    @spent.setter
    def spent(self, seconds: float) -> None:
        _SPENT.pack_into(self._page, _TOUCHED.size, seconds)

    def begin(self, job_id: bytes, attempt: int, spent: float = NOT_MEASURED) -> None:
        """Notes that the worker begins an ordinary run, having spent so many CPU seconds before."""
        self._page[_SIGNALLED] = 0
        _SPENT.pack_into(self._page, _TOUCHED.size, spent)
        self.row.begin(job_id, attempt)

    @property
    def signalled(self) -> bool:
        """Whether the worker was asked to end by a signal since its run began, by its manager or somebody else."""
        return bool(self._page[_SIGNALLED])

    def note_signal(self) -> None:
        """Notes a signal that asks the worker to end."""
        self._page[_SIGNALLED] = 1

    def close(self) -> None:
        """Unmaps the page, and gives back the row of a worker that has ended."""
        self._page.close()
        self.stacks.close()
        self.row.free()
