"""Handles the messages of workers: ready, alive, ended."""

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
    """Updates the pool by the messages of workers, and passes progress and ends on to the node."""

    def __init__(
        self,
        pool: Pool,
        assigner: Assigner,
        async_attempts: AsyncAttempts,
        node: NodeProxy,
        progress_limit: float,
        clock: Clock,
    ) -> None:
        self.read_pages_at = NEVER  #: when to read next what workers have left in their pages
        self._pool = pool
        self._assigner = assigner
        self._handles = assigner.handles
        self._async = async_attempts
        self._node = node
        self._progress_limit = progress_limit
        self._clock = clock

    def read(self, worker: WorkerState) -> None:
        """Handles all messages that a worker has sent."""
        handle, now = self._handles.get(worker.pid), self._clock.monotonic()
        if handle is None:
            return  # it has ended: its last messages were read then, a moment after its socket became readable
        for message in packets.drain(handle.manager_end):
            kind = messages.kind_of(message)
            if kind == Kind.READY:
                self._ready(worker, now)
            elif kind == Kind.PROGRESS:
                self._alive(worker, message, now)
            elif kind == Kind.REPORT:
                self._ended(worker, message, now)

    def _ready(self, worker: WorkerState, now: float) -> None:
        self._pool.ready(worker, now)
        if self._pool.options.worker_max_growth:
            worker.resident = own_memory(worker.pid) or 0

    def _alive(self, worker: WorkerState, message: bytes, now: float) -> None:
        report = Report.decode(message)
        if worker.async_runs:
            self._async.alive(worker, report.job_id, now)
        elif not report.body:  # its progress is in the page: what is there is never older than what was sent
            self._look_at_page(worker, now)
        if report.body:
            self._node.push(message)

    def _look_at_page(self, worker: WorkerState, now: float) -> None:
        """Reads the page of a worker now, unless that was done within the limit, and then once per limit."""
        handle = self._handles[worker.pid]
        if not handle.reports_progress:
            handle.reports_progress, handle.read_page_at = True, now
        self._read_page(worker, now)
        self.read_pages_at = min(self.read_pages_at, handle.read_page_at)

    def _read_page(self, worker: WorkerState, now: float) -> None:
        handle, run = self._handles[worker.pid], worker.running
        if now < handle.read_page_at:
            return
        handle.read_page_at = now + self._progress_limit
        content = handle.unread_progress()
        if content is not None and run is not None:
            note = Report(Kind.PROGRESS, Ending.SUCCEEDED, run.job_id, run.attempt, worker.id, 0.0, content)
            self._node.push(note.encode())

    def _ended(self, worker: WorkerState, message: bytes, now: float) -> None:
        if worker.kill_reason is not None and worker.serves:
            self._handles[worker.pid].release()  # it ends as it was asked to, and its kill reason is reported
            return
        report = Report.decode(message)
        if worker.async_runs and self._async.ended(worker, report, message):
            worker.since = now
        elif not self._finished(worker, report, message, now):
            return
        if to_measure(self._pool, worker, now) and outgrown(self._pool, worker, own_memory(worker.pid), now):
            self._assigner.replace(worker, now)
        elif worker.leaving:
            self._assigner.dismiss(worker)

    def _finished(self, worker: WorkerState, report: Report, message: bytes, now: float) -> bool:
        """Passes the report of an ordinary run on; False if the worker was not running it."""
        run = self._pool.ended(worker, report.job_id, report.attempt, report.seconds, now)
        handle = self._handles[worker.pid]
        handle.reports_progress, handle.read_page_at = False, NEVER
        if run is None:
            logger.error("worker reported an attempt that it was not running", extra={"worker": worker.id.hex()})
            return False
        self._node.push(message)
        self._node.released(run)
        return True

    def read_pages(self, now: float) -> None:
        """Passes on the progress that workers have left in their pages since the last call."""
        for worker in self._pool.workers.values():
            self._read_page(worker, now)
        reporting = (handle.read_page_at for handle in self._handles.values() if handle.reports_progress)
        self.read_pages_at = min(reporting, default=NEVER)
