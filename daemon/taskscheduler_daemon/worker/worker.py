"""A worker: takes one run after another from its socket, makes it, reports it before it takes the next.

Async runs are an exception: they are left to an event loop, which makes all that arrive at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Mapping
from inspect import iscoroutine
from types import FrameType
from typing import Any, Self

import bson
from bson import ObjectId

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import SchedulerError
from taskscheduler.jobs.async_executor import INTERRUPTED, AsyncRuntime, execute_async
from taskscheduler.jobs.executor import Container, JobInterrupted, execute, notify
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model.attempt_result import AttemptResult, encode
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, Run
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.system.exits import EXIT_OK
from taskscheduler_daemon.system.reap import reap_strangers
from taskscheduler_daemon.system.resource_limits import CpuLimitError, LimitGuard, ResourceLimits
from taskscheduler_daemon.system.spawn import adopt_orphans
from taskscheduler_daemon.worker.event_loop import EventLoop
from taskscheduler_daemon.worker.events import FETCHED, FINISHED, STARTED, WorkerEvents, WorkerHandler
from taskscheduler_daemon.worker.progress import encode_progress, merge_progress

logger = logging.getLogger(__name__)

_NO_LIMITS = ResourceLimits()

_EXHAUSTED = {"CpuLimitError", "MemoryError"}  #: errors of jobs after which a worker is replaced

_REAP_EVERY = 100  #: jobs


class Worker:
    """Runs jobs. Built by a worker factory in the new process.

    `scheduler` is lent to jobs that ask for one and connects when they do; `container` creates job instances.
    """

    def __init__(
        self,
        id: ObjectId,
        scheduler: Scheduler | None = None,
        container: Container | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.id = id
        self._scheduler = scheduler
        self._container = container
        self._clock = clock
        self._max_payload = 1024 * 1024
        self._limit = 0.5
        self._run: Run | None = None
        self._said: dict[str, Any] = {}
        self._sent_at = float("-inf")
        self._guard = self._common_guard = LimitGuard(_NO_LIMITS)
        self._loop: EventLoop | None = None  #: as long as there was no async job
        self._worn_out = False  #: whether this worker ends after its job
        self._events: WorkerEvents | None = None  #: as long as nobody listens
        self.stop_request: StopRequest | None = None  #: that of the service which runs here
        self._unreaped = 0  #: jobs since orphans were last reaped
        self._socket: socket.socket
        self._slot: SharedPage
        self._pid = os.getpid()

    def on(self, event: str, handler: WorkerHandler) -> Self:
        """Call `handler(event, worker, job)` in this process at each `started` and `finished` of the worker, and
        `fetched`, `executed` and `failed` of a job.

        `job` is a ProcessState, None for events of the worker. A job that is killed has no event after `fetched`, and a
        worker that is killed none. A handler that raises is logged. Chainable; InvalidOptionError for an unknown event.
        """
        self._events = self._events or WorkerEvents()
        self._events.on(event, handler)
        return self

    def process_all(
        self,
        end: socket.socket,
        slot: SharedPage,
        progress_limit: float,
        max_payload: int,
        limits: ResourceLimits = _NO_LIMITS,
    ) -> int:
        """Take runs from the socket until it is closed; the exit code of the process."""
        self._guard, self._common_guard = LimitGuard(limits), LimitGuard(limits.without_cpu())
        self._socket, self._slot, self._pid = end, slot, os.getpid()
        self._limit, self._max_payload = progress_limit, max_payload
        adopt_orphans()
        signal.signal(signal.SIGTERM, self._interrupt)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's affair
        try:
            packets.send(end, bytes([Kind.READY]))
            self._tell(STARTED)
            while (message := self._next()) is not None:
                if message[0] == Kind.RUN:  # an INTERRUPT comes too late
                    self._take(Run.decode(message))
        except JobInterrupted:
            pass
        finally:
            self._tell(FINISHED)
            if self._scheduler is not None:
                self._scheduler.close()
        return EXIT_OK

    def _next(self) -> bytes | None:
        """The next message. Orphans of jobs are reaped when there is nothing to do, or after a number of jobs."""
        message = packets.receive_nowait(self._socket)
        self._unreaped += 1
        if message is None or self._unreaped == _REAP_EVERY:
            self._unreaped = 0
            reap_strangers()
        return packets.receive(self._socket) if message is None else message

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM: the job has to end now; `finally` blocks run, then the process goes. A service is asked first."""
        if self.stop_request is not None and not self.stop_request:
            self.stop_request.ask()
            return
        if self._loop is not None and self._loop.is_running:
            self._worn_out = True
            self._loop.interrupt_all(Status(self._slot.kill_status))
            return
        raise JobInterrupted

    def _take(self, run: Run) -> None:
        if not run.flags & Flag.ASYNC:
            self._process(run)
            return
        with self._common_guard:
            others = self._async_work().serve(run)
        if self._worn_out:
            for other in others:
                self._send(Kind.REPORT, Ending.UNSTARTED, other, 0.0, b"")
            raise JobInterrupted
        for other in others:
            self._process(other)

    def _async_work(self) -> EventLoop:
        if self._loop is None:
            self._loop = EventLoop(self, self._socket, self._limit, self._clock)
        return self._loop

    def _process(self, run: Run) -> None:
        self._run, self._said, self._sent_at = run, {}, float("-inf")
        document = bson.decode(run.body, codec_options=CODEC)
        self.stop_request = StopRequest() if run.flags & Flag.SERVICE else None
        began = self._clock.monotonic()
        plain = False
        if run.flags & Flag.HOOK:
            end = AttemptResult(Ending.SUCCEEDED, {})
            self._notify(document)
        elif REGISTRY.is_async(document["class"]):
            end = self._process_alone(run)
        else:
            plain = True
            if self._events is not None:
                self._tell(FETCHED, document)
            end = execute(document, self, self._container, self._max_payload, self._guard)
        self._end_fork()
        self._guard.loosen()
        if plain and self._events is not None:
            self._tell_end(document, end)
        seconds = self._clock.monotonic() - began
        self._run = None
        is_heard = self._report(run, document, end, self._said, seconds)
        if self._worn_out or not is_heard:
            raise JobInterrupted  # what it left behind must not be the end of the next job; or the manager is gone

    def _process_alone(self, run: Run) -> AttemptResult:
        """An async job that came as an ordinary one: the node did not know, and is told."""
        with self._common_guard:
            ending, content = self._async_work().alone(run)
        if ending is Ending.RETURNED:
            raise JobInterrupted
        return AttemptResult(ending, {**content, "async": True})

    def _report(
        self, run: Run, document: dict[str, Any], end: AttemptResult, said: dict[str, Any], seconds: float
    ) -> bool:
        """Send the end of a run; whether the manager is still there."""
        ending, content = end
        if content.get("error", {}).get("type") in _EXHAUSTED:
            self._worn_out = True
        if said:
            content["said"] = said
        if REGISTRY.has_hook(document["class"]):
            content["hook"] = True
        return self._send(Kind.REPORT, ending, run, seconds, encode(content))

    def _tell(self, event: str, document: Mapping[str, Any] | None = None) -> None:
        if self._events is not None:
            self._events.tell(event, self, document)

    def _tell_end(self, document: Mapping[str, Any], end: AttemptResult) -> None:
        if self._events is not None:
            self._events.tell_end(self, document, *end)

    def _end_fork(self) -> None:
        """A job may have forked, and both come back: the fork is no worker, and must not report or take a run."""
        if os.getpid() != self._pid:
            os._exit(EXIT_OK)

    def _notify(self, document: dict[str, Any]) -> None:
        """Call the job's `notification`; what it raises is logged, since its job has ended already."""
        try:
            with self._guard:
                answer = notify(document, self, self._container, Process(self.scheduler(), document))
            if iscoroutine(answer):
                self._async_work().finish(answer)
        except (Exception, CpuLimitError):
            logger.exception("notification failed", extra={"job": str(document["_id"])})

    def _send(self, kind: Kind, ending: Ending, run: Run, seconds: float, body: bytes) -> bool:
        report = Report(kind, ending, run.job_id, run.attempt, self.id.binary, seconds, body)
        return packets.send(self._socket, report.encode())

    # -- what the event loop asks for -------------------------------------------------------------------------------

    async def attempt(self, document: dict[str, Any], runtime: AsyncRuntime) -> AttemptResult:
        """Make one attempt of an async job."""
        self._tell(FETCHED, document)
        end = await execute_async(document, runtime, self._container, self._max_payload)
        if end is not INTERRUPTED:
            self._tell_end(document, end)
        return end

    def send_end(
        self, run: Run, document: dict[str, Any], end: AttemptResult, said: dict[str, Any], seconds: float
    ) -> None:
        """Report the end of an async job."""
        self._end_fork()
        self._report(run, document, AttemptResult(end.ending, dict(end.content)), said, seconds)

    def send_progress(self, run: Run, content: bytes) -> None:
        """Report what an async job says, or with no content that it is alive."""
        self._slot.touch(self._clock.monotonic())
        self._send(Kind.PROGRESS, Ending.SUCCEEDED, run, 0.0, content)

    # -- what a running job may ask for -----------------------------------------------------------------------------

    def report(self, progress: float | None, message: str | None) -> None:
        """Pass on a sign of life: at most one message in the time limit, what comes in between through the slot."""
        if self._run is None:
            return
        merge_progress(self._said, progress, message)
        now = self._clock.monotonic()
        self._slot.touch(now)
        content = encode_progress(self._said, self._run)
        if now - self._sent_at >= self._limit:
            self._sent_at = now
            self._send(Kind.PROGRESS, Ending.SUCCEEDED, self._run, 0.0, content)
        else:
            self._slot.write(content)

    def async_scheduler(self) -> AsyncScheduler:
        """For async jobs, which are lent that of the event loop."""
        raise SchedulerError("async_scheduler is for async jobs; use scheduler")

    def interruption(self) -> Status:
        """Why the job has to end now; WAITING also if the signal did not come from the manager."""
        return Status(self._slot.kill_status)

    def scheduler(self) -> Scheduler:
        """The scheduler of this worker; connects on first use."""
        if self._scheduler is None:
            self._scheduler = Scheduler()
        return self._scheduler
