"""What a node tells its manager: runs to make, jobs to cancel, until when it may run any."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bson import ObjectId

from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Channel, Sender
from taskscheduler_daemon.ipc.link import writable
from taskscheduler_daemon.ipc.messages import Kind, Run


class ManagerProxy:
    """The node's end of the channel to the manager. Safe to use from many threads: the main loop, woken, flushes."""

    def __init__(self, channel: Channel, wake: Callable[[], None]) -> None:
        self._sender = Sender(channel)
        self.flush = self._sender.flush
        self.writable = writable(channel)
        self._wake = wake

    def dispatch(self, runs: Iterable[Run]) -> None:
        """Send runs at once, as far as there is room."""
        self._sender.push(*(run.encode() for run in runs))
        if not self._sender.flush():
            self._wake()  # the main loop waits for room

    def cancel(self, ids: list[ObjectId]) -> None:
        """Not before the runs that wait to be sent: the manager must know a job to kill it."""
        if ids:
            self._send(messages.cancel(ids))

    def lease(self, until: float) -> None:
        """Jobs may run until then."""
        self._send(messages.timed(Kind.LEASE, until), first=True)

    def recycle(self) -> None:
        """Replace the workers."""
        self._send(messages.timed(Kind.RECYCLE, 0.0))

    def stop(self, seconds: float) -> None:
        """Finish within so many seconds."""
        self._send(messages.timed(Kind.STOP, seconds))

    def stop_now(self) -> None:
        """Whatever was said before."""
        self._send(messages.timed(Kind.STOP, 0.0), first=True)

    def _send(self, message: bytes, first: bool = False) -> None:
        self._sender.push(message, first=first)
        self._wake()
