"""Handles the messages of workers: ready, alive, ended."""

from __future__ import annotations

import logging
import struct

from taskscheduler.clock import NEVER, Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import Kind, Report
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.ipc.worker_reports import ReportReader
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.recycling import outgrown, to_measure
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.system.procfs import own_memory

logger = logging.getLogger(__name__)

_REPORT = int(Kind.REPORT)  # a plain number, as a comparison with it is faster: most messages are reports


class WorkerMessages:
    """Updates the pool by the messages of workers, and passes progress and ends on to the node."""

    def __init__(
        self,
        pool: Pool,
        assigner: Assigner,
        async_attempts: AsyncAttempts,
        node: NodeProxy,
        reader: ReportReader,
        clock: Clock,
    ) -> None:
        self._known = b""  #: the message about the jobs that the newest worker knows
        self.read_pages_at = NEVER  #: when to read next what workers have left in their pages
        self._pool = pool
        self._assigner = assigner
        self._handles = assigner.handles
        self._async = async_attempts
        self._node = node
        self._reader = reader
        self._clock = clock

    def read(self, worker: WorkerState) -> None:
        """Handles the messages that a worker has sent. One that no worker sends ends it: its job has written that."""
        handle = self._handles.get(worker.pid)
        if handle is None:
            return  # it has ended: its last messages were read then, a moment after its socket became readable
        try:
            for message in packets.drain(handle.manager_end, self._reader.most):
                if not worker.is_mute:
                    self._handle(worker, message, self._clock.monotonic())  # after its job can have begun
        except (packets.MalformedMessageError, struct.error) as error:
            self._mute(worker, error, self._clock.monotonic())

    def _handle(self, worker: WorkerState, message: bytes, now: float) -> None:
        kind = message[0]
        if kind == _REPORT:
            self._ended(worker, message, now)
        elif kind == Kind.READY:
            self._ready(worker, message, now)
        elif kind == Kind.PROGRESS:
            self._alive(worker, message, now)
        elif kind == Kind.ITEM:
            self._item_ended(worker, message, now)
        else:
            raise packets.MalformedMessageError(f"no worker sends messages of kind {kind}")

    def _mute(self, worker: WorkerState, error: Exception, now: float) -> None:
        """Listens to a worker no more, and has it killed."""
        if not worker.is_mute:
            facts = {"worker": worker.id.hex(), "pid": worker.pid, "reason": str(error)[:200]}
            logger.error("a job has written to the socket of its worker, which is killed", extra=facts)
            worker.is_mute = worker.leaving = True
            worker.kill_at = now

    def _ready(self, worker: WorkerState, message: bytes, now: float) -> None:
        if worker.ready:
            return  # the clock of its job does not begin again
        limit = messages.time_of(message)
        if not 0 <= limit < NEVER:
            raise packets.MalformedMessageError(f"no worker has {limit} seconds as the limit of progress")
        self._handles[worker.pid].progress_limit = limit
        self._pool.ready(worker, now)
        if (known := messages.known_by(message)) != self._known:
            self._known = known
            self._node.push(known)
        if self._pool.options.worker_max_growth:
            worker.resident = own_memory(worker.pid) or 0

    def _alive(self, worker: WorkerState, message: bytes, now: float) -> None:
        report = self._reader.read(message, worker.id, now)
        if not worker.holds(report.job_id, report.attempt):
            return
        if worker.async_runs:
            self._async.alive(worker, report.job_id, now)
        elif not report.body:  # its progress is in the page: what is there is never older than what was sent
            self._look_at_page(worker, report.began, now)
        if report.body:
            self._node.push(message)

    def _look_at_page(self, worker: WorkerState, began: float, now: float) -> None:
        """Reads the page of a worker now, unless that was done within the limit, and then once per limit."""
        handle = self._handles[worker.pid]
        if not handle.reports_progress:
            handle.reports_progress, handle.read_page_at = True, now
        handle.began = began
        self._read_page(worker, now)
        self.read_pages_at = min(self.read_pages_at, handle.read_page_at)

    def _read_page(self, worker: WorkerState, now: float) -> None:
        handle, run = self._handles[worker.pid], worker.running
        if now < handle.read_page_at:
            return
        handle.read_page_at = now + handle.progress_limit
        content = handle.unread_progress()
        if content is not None and run is not None:
            ids = (run.job_id, run.attempt, worker.id)
            self._node.push(Report(Kind.PROGRESS, Ending.SUCCEEDED, *ids, 0.0, content, handle.began).encode())

    def _ended(self, worker: WorkerState, message: bytes, now: float) -> None:
        if worker.kill_reason is not None and worker.serves:
            self._handles[worker.pid].release()  # it ends as it was asked to, and its kill reason is reported
            return
        report = self._reader.read(message, worker.id, now)
        if worker.async_runs and self._async.ended(worker, report, message):
            worker.since = now
        elif not self._finished(worker, report, message, now):
            return
        if to_measure(self._pool, worker, now) and outgrown(self._pool, worker, own_memory(worker.pid), now):
            self._assigner.replace(worker, now)
        elif worker.leaving:
            self._assigner.dismiss(worker)

    def _item_ended(self, worker: WorkerState, message: bytes, now: float) -> None:
        """Passes on how one job of the batch ended that the worker runs; the node knows the jobs of a batch."""
        batch, report = messages.item_of(message)
        self._reader.read(report, worker.id, now)
        if worker.holds(batch, messages.BATCH_RUN):
            self._node.push(message)

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
