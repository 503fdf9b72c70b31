"""The output pipes of a worker, the page that goes with them, and how the node gets its ends.

The manager makes them before the fork and sends the node its ends over a socket, so that the node reads them also after
the worker or the manager has died.
"""

from __future__ import annotations

import logging
import mmap
import os
import socket
import struct
from typing import NamedTuple

from taskscheduler_daemon.ipc.packets import memory_file
from taskscheduler_daemon.system.private_descriptors import keep_private

logger = logging.getLogger(__name__)

_SIZE = 64  #: bytes of the page

_CURRENT = struct.Struct("<B12sI")  #: whether there is one, job, attempt

_FLAGS = 32  #: where the bytes are that say which pipes hold, or held, bytes that are not ended

OUT, ERR = 0, 1  #: the pipes

PIPES = (OUT, ERR)

_FLAGS_END = _FLAGS + len(PIPES)

_ALL_ENDED = bytes(len(PIPES))


class OutputPage:
    """Shared memory of a worker and the node: whose raw bytes come now, and whether some were read."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, _SIZE)

    def turn(self, job_id: bytes, attempt: int) -> None:
        """Notes whose bytes come from now on. For the worker."""
        _CURRENT.pack_into(self._page, 0, 1, job_id, attempt)

    def turn_to_nobody(self) -> None:
        """Notes that the bytes that come now are of no job."""
        self._page[0] = 0

    def current(self) -> tuple[bytes, int] | None:
        """Returns whose bytes come now: the job and the attempt."""
        taken, job_id, attempt = _CURRENT.unpack_from(self._page)
        return (job_id, attempt) if taken else None

    def note(self, pipe: int, unended: bool) -> None:
        """Notes that bytes are read, or were read, that no END has come after yet. For the node."""
        self._page[_FLAGS + pipe] = unended

    def has_unended(self, pipe: int) -> bool:
        """Returns what was noted last."""
        return bool(self._page[_FLAGS + pipe])

    def turn_if_ended(self) -> bool:
        """Turns to nobody if that holds for no pipe; returns whether it did."""
        page = self._page
        if page[_FLAGS:_FLAGS_END] != _ALL_ENDED:
            return False
        page[0] = 0
        return True

    def close(self) -> None:
        """Unmaps it in this process."""
        self._page.close()


class WorkerPipes:
    """The pipes of a worker. All ends are made in the manager, which closes them after the fork."""

    def __init__(self, capture: bool) -> None:
        """`capture`: whether the standard streams of the worker go there; its log records do in any case."""
        self.capture = capture
        self._descriptors: list[int] = []
        try:
            for _ in PIPES:
                self._descriptors += os.pipe()
            with memory_file() as file:
                file.truncate(_SIZE)
                self._descriptors.append(os.dup(file.fileno()))
            self.page = OutputPage(self._descriptors[-1])
        except OSError:
            self._close_descriptors()
            raise
        keep_private(*self._descriptors)

    @property
    def writers(self) -> tuple[int, int]:
        """The writing ends, for the worker."""
        return self._descriptors[1], self._descriptors[3]

    def send(self, to: socket.socket, worker: bytes) -> None:
        """Sends the node its ends. Raises OSError if it cannot take them."""
        out, _, err, _, page = self._descriptors
        socket.send_fds(to, [worker], [out, err, page], socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Closes all of it in the manager."""
        self._close_descriptors()
        self.page.close()

    def _close_descriptors(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []


def open_pipes(to: socket.socket, worker: bytes, capture: bool) -> WorkerPipes | None:
    """Opens the pipes of a worker and sends the node its ends.

    None if there are no more descriptors, or no node: then the worker has the standard streams of its manager.
    """
    try:
        pipes = WorkerPipes(capture)
    except OSError as error:
        logger.warning("no pipes for the output of a worker", extra={"reason": str(error)})
        return None
    try:
        pipes.send(to, worker)
    except OSError:
        pipes.close()
        return None
    return pipes


class ReceivedPipes(NamedTuple):
    """The node's ends of the pipes of a worker."""

    worker: bytes
    readers: tuple[int, int]
    page: OutputPage


def receive_pipes(inbox: socket.socket) -> ReceivedPipes | None:
    """Returns the ends of the next worker; None if no manager has the other end any more.

    Raises BlockingIOError if there are none now.
    """
    worker, descriptors, _, _ = socket.recv_fds(inbox, 12, 3)
    if not worker:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    out, err, page = descriptors
    shared = OutputPage(page)
    os.close(page)
    for reader in (out, err):
        os.set_blocking(reader, False)
    return ReceivedPipes(worker, (out, err), shared)
