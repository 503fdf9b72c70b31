"""What a manager tells its node: how many jobs it takes, how runs have ended, what it holds."""

from __future__ import annotations

import selectors
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import bson

from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.payload import CODEC
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Sender
from taskscheduler_daemon.ipc.messages import NO_WORKER, Flag, Kind, Report, Run
from taskscheduler_daemon.manager.pool.options import PoolOptions

if TYPE_CHECKING:
    from taskscheduler_daemon.ipc.link import ManagerEnd


class NodeProxy:
    """The manager's end of the channel to the node. Nothing is sent before `flush`."""

    def __init__(self, link: ManagerEnd, selector: selectors.BaseSelector) -> None:
        sender = Sender(link.up)
        self.push = sender.push
        self._send = sender.flush
        self._writable = link.up_writable
        self._selector = selector
        self._watching = False

    def flush(self) -> None:
        """Send what waits; watch for room in the queue as long as something is left."""
        stuck = not self._send()
        if stuck and not self._watching:
            self._selector.register(self._writable, selectors.EVENT_WRITE, self.flush)
        elif not stuck and self._watching:
            self._selector.unregister(self._writable)
        self._watching = stuck

    def introduce(self, options: PoolOptions) -> None:
        """Say how many jobs can run here; with every renewal of the lease, as the node can do nothing without it."""
        facts = {"slots": options.slots, "async_jobs": options.async_limit, "pm": str(options.pm)}
        self.push(messages.notice(Kind.POOL, **facts))

    def report(self, ending: Ending, run: Run, worker: bytes = NO_WORKER, seconds: float = 0.0, **content: Any) -> None:
        """Say how a run has ended of which its worker does not."""
        body = bson.encode(content, codec_options=CODEC) if content else b""
        self.push(Report(Kind.REPORT, ending, run.job_id, run.attempt, worker, seconds, body).encode())
        self.released(run)

    def hand_back(self, runs: Iterable[Run]) -> None:
        """These have not begun, and will not begin here."""
        for run in runs:
            self.report(Ending.UNSTARTED, run)

    def released(self, run: Run) -> None:
        """A run has ended, also one that was cancelled: others may wait until nothing is left of it."""
        if run.flags & Flag.EXCLUSIVE:
            self.push(messages.gone(run.job_id, run.attempt))
