"""The node, as its manager speaks to it: the size of the pool, the ends of runs, the inventory."""

from __future__ import annotations

import selectors
from collections.abc import Iterable
from typing import Any

import bson

from taskscheduler.model.attempts.cost import UNKNOWN, Cost
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.payload import CODEC
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Sender
from taskscheduler_daemon.ipc.link import ManagerEnd
from taskscheduler_daemon.ipc.messages import NO_WORKER, Flag, Kind, Report, Run

_EXCLUSIVE = int(Flag.EXCLUSIVE)  # a plain number: `&` with a member of a Flag takes ten times as long, for each end


class NodeProxy:
    """Sends messages to the node. Nothing is sent before `flush`."""

    def __init__(self, link: ManagerEnd, selector: selectors.BaseSelector) -> None:
        self._sender = Sender(link.up)
        self._writable = link.up_writable
        self._selector = selector
        self._queued: list[bytes] = []  #: since the last flush: one call for the ends of many runs
        self._watching = False  #: whether the loop waits for room in the channel

    def push(self, message: bytes) -> None:
        """Queues a message."""
        self._queued.append(message)

    def flush(self) -> None:
        """Sends the queued messages; as long as some are left, watches for room in the channel."""
        if self._queued:
            self._sender.push(*self._queued)
            self._queued.clear()
        stuck = not self._sender.flush()
        if stuck and not self._watching:
            self._selector.register(self._writable, selectors.EVENT_WRITE, self.flush)
        elif not stuck and self._watching:
            self._selector.unregister(self._writable)
        self._watching = stuck

    def introduce(self, pm: str, slots: int, async_jobs: int, forced: int, ready: bool) -> None:
        """Reports how many jobs can run here, and whether a worker is ready to begin one.

        Repeated with each renewal of the lease, as the node claims by it.
        """
        facts = {"pm": str(pm), "slots": slots, "async_jobs": async_jobs, "forced": forced, "ready": ready}
        self.push(messages.notice(Kind.POOL, **facts))

    def report(
        self,
        ending: Ending,
        run: Run,
        worker: bytes = NO_WORKER,
        seconds: float = 0.0,
        cost: Cost = UNKNOWN,
        **content: Any,
    ) -> None:
        """Reports the end of a run in place of its worker, and releases the run."""
        body = bson.encode(content, codec_options=CODEC) if content else b""
        report = Report(Kind.REPORT, ending, run.job_id, run.attempt, worker, seconds, body)
        self.push(report.costing(cost).encode())
        self.released(run)

    def ask_for_children(self, run: Run) -> None:
        """Asks whether a child of this silent job gives signs of life; the node answers with ALIVE."""
        self.push(messages.silent(run.job_id, run.attempt))

    def hand_back(self, runs: Iterable[Run]) -> None:
        """Hands back runs that have not begun, and will not begin here."""
        for run in runs:
            self.report(Ending.UNSTARTED, run)

    def released(self, run: Run) -> None:
        """Reports that nothing is left of an exclusive run, also of a cancelled one; others may wait for that."""
        if run.flags & _EXCLUSIVE:
            self.push(messages.gone(run.job_id, run.attempt))
