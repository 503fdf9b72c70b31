"""ManagerProxy: what a node sends to its manager. Runs to make, jobs to cancel, until when it may run any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bson import ObjectId

from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Channel, Sender
from taskscheduler_daemon.ipc.link import writable
from taskscheduler_daemon.ipc.messages import Kind, Run


class Loop(Protocol):
    """The main loop of the node, as far as other threads wake it."""

    def wake(self) -> None:
        """Has the loop flush soon."""
        ...


class ManagerProxy:
    """Sends through the node's end of the channel. Safe to use from many threads: the main loop, woken, flushes."""

    def __init__(self, channel: Channel, loop: Loop) -> None:
        self._sender = Sender(channel)
        self.writable = writable(channel)  #: the descriptor that says when the channel has room
        self._loop = loop

    def flush(self) -> bool:
        """Sends what waits, as far as there is room; returns whether nothing is left."""
        return self._sender.flush()

    def dispatch(self, runs: Iterable[Run]) -> None:
        """Sends runs at once, as far as there is room."""
        self._sender.push(*[run.encode() for run in runs])
        if not self._sender.flush():
            self._loop.wake()  # it waits for room

    def wake(self) -> None:
        """Has the main loop of the node look soon at what is kept from the manager."""
        self._loop.wake()

    def cancel(self, ids: list[ObjectId]) -> None:
        """Cancels jobs, after the runs that wait to be sent: the manager must know a job to kill it."""
        if ids:
            self._send(messages.cancel(ids))

    def lease(self, until: float) -> None:
        """Allows jobs to run until this monotonic time."""
        self._send(messages.timed(Kind.LEASE, until), first=True)

    def recycle(self) -> None:
        """Replaces the workers."""
        self._send(messages.timed(Kind.RECYCLE, 0.0))

    def alive(self, job_id: bytes, attempt: int, at: float) -> None:
        """Reports when a child of a silent job gave its last sign of life, in monotonic time; 0.0: never."""
        self._send(messages.alive(job_id, attempt, at))

    def stack(self, job_id: bytes, attempt: int, question: bytes) -> None:
        """Asks where a job is."""
        self._send(messages.ask_for_stack(job_id, attempt, question))

    def stop(self, seconds: float) -> None:
        """Asks the manager to finish within so many seconds."""
        self._send(messages.timed(Kind.STOP, seconds))

    def stop_now(self) -> None:
        """Asks the manager to finish at once, before anything else that waits to be sent."""
        self._send(messages.timed(Kind.STOP, 0.0), first=True)

    def _send(self, message: bytes, first: bool = False) -> None:
        self._sender.push(message, first=first)
        self._loop.wake()
