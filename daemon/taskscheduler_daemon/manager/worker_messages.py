"""What workers say to their manager: that they are ready, that a job is alive, and how it has ended."""

from __future__ import annotations

import logging

from taskscheduler.clock import NEVER, Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import Kind, Report
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.recycling import outgrown, to_measure
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.system.procfs import own_memory

logger = logging.getLogger(__name__)


class WorkerMessages:
    """Reads it, acts on it and passes on what is for the node."""

    def __init__(
        self,
        pool: Pool,
        crew: Assigner,
        async_runs: AsyncAttempts,
        uplink: NodeProxy,
        progress_limit: float,
        clock: Clock,
    ) -> None:
        self.slots_at = NEVER  #: when to look next at what workers have left in their slots
        self._pool = pool
        self._crew = crew
        self._hands = crew.handles
        self._async = async_runs
        self._up = uplink
        self._progress_limit = progress_limit
        self._clock = clock

    def read(self, member: WorkerState) -> None:
        """Deal with all that a worker has said."""
        hands, now = self._hands.get(member.pid), self._clock.monotonic()
        if hands is None:
            return  # it has ended: what it said was read then, a moment after it was found to have said something
        for message in packets.drain(hands.manager_end):
            kind = messages.kind_of(message)
            if kind == Kind.READY:
                self._ready(member, now)
            elif kind == Kind.PROGRESS:
                self._alive(member, message, now)
            elif kind == Kind.REPORT:
                self._ended(member, message, now)

    def _ready(self, member: WorkerState, now: float) -> None:
        self._pool.ready(member, now)
        if self._pool.options.worker_max_growth:
            member.resident = own_memory(member.pid) or 0

    def _alive(self, member: WorkerState, message: bytes, now: float) -> None:
        report = Report.decode(message)
        if member.async_runs:  # which leave nothing in the slot
            self._async.alive(member, report.job_id, now)
        else:
            self._hands[member.pid].reports_progress = True
            self.slots_at = min(self.slots_at, now + self._progress_limit)
        if report.body:
            self._up.push(message)

    def _ended(self, member: WorkerState, message: bytes, now: float) -> None:
        if member.kill_reason is not None and member.serves:
            self._hands[member.pid].release()  # it ends as it was asked to, and counts as what it was asked for
            return
        report = Report.decode(message)
        if member.async_runs and self._async.ended(member, report, message, self._up.push):
            member.since = now
        else:
            run = self._pool.ended(member, report.job_id, report.attempt, report.seconds, now)
            self._hands[member.pid].reports_progress = False
            if run is None:
                logger.error("report of an attempt that the worker was not given", extra={"worker": member.id.hex()})
                return
            self._up.push(message)
            self._up.released(run)
        if to_measure(self._pool, member, now) and outgrown(self._pool, member, own_memory(member.pid), now):
            self._crew.replace(member, now)
        elif member.leaving:
            self._crew.dismiss(member)

    def read_slots(self, now: float) -> None:
        """Pass on the signs of life that workers left in their slots since the last look."""
        for pid, member in self._pool.workers.items():
            content, run = self._hands[pid].unread_progress(), member.running
            if content is not None and run is not None:
                note = Report(Kind.PROGRESS, Ending.SUCCEEDED, run.job_id, run.attempt, member.id, 0.0, content)
                self._up.push(note.encode())
        talking = any(hands.reports_progress for hands in self._hands.values())
        self.slots_at = now + self._progress_limit if talking else NEVER
