"""The worker: takes one run after another from its socket, executes it, and reports its end before the next.

Async runs go to an event loop, which runs all that arrive at once.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Self

from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.jobs.async_executor import INTERRUPTED
from taskscheduler.jobs.executor import Container, JobInterrupted, refusal
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model import lenient
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.attempts.stack import StackFrame
from taskscheduler.model.exception_texts import loggable, try_to_log
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.readable import fault_of_decoding
from taskscheduler.tracing import tracing_of
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Run
from taskscheduler_daemon.ipc.output_pipes import WorkerPipes
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.lending import Borrower, Lendable, SchedulerLender
from taskscheduler_daemon.system.exits import EXIT_OK
from taskscheduler_daemon.system.forks import handle_but_not_in_forks
from taskscheduler_daemon.system.reap import reap_strangers
from taskscheduler_daemon.system.resource_limits import ResourceLimits
from taskscheduler_daemon.system.spawn import adopt_orphans
from taskscheduler_daemon.system.stack_dump import StackAnswers
from taskscheduler_daemon.system.usage import UsageMeter
from taskscheduler_daemon.worker.batches import BatchWork, batch_work
from taskscheduler_daemon.worker.event_loop import EventLoop
from taskscheduler_daemon.worker.events import FINISHED, STARTED, WorkerEvents, WorkerHandler
from taskscheduler_daemon.worker.execution import JobExecution
from taskscheduler_daemon.worker.output import WorkerOutput
from taskscheduler_daemon.worker.reports import Ran, WorkerReports
from taskscheduler_daemon.worker.runtime import JobRuntime

logger = logging.getLogger(__name__)

_NO_LIMITS = ResourceLimits()

_EXHAUSTED = {"CpuLimitError", "MemoryError"}  #: errors of jobs after which a worker is replaced

_REAP_EVERY = 100  #: jobs

# plain numbers, as `&` with them is faster
_ASYNC, _HOOK, _SERVICE, _BATCH = int(Flag.ASYNC), int(Flag.HOOK), int(Flag.SERVICE), int(Flag.BATCH)

_RUN = int(Kind.RUN)

_NOWAIT = int(socket.MSG_DONTWAIT)


class Worker(Borrower):
    """Runs jobs. Built by a worker factory in the new process.

    `scheduler` is lent to jobs that ask for one and connects when they do; its options `progress_rate_limit` and
    `max_payload`, if they are set, hold here in place of the node's. `container` creates job instances.
    """

    def __init__(
        self,
        id: ObjectId,
        scheduler: Lendable | None = None,
        container: Container | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(SchedulerLender(scheduler))
        self.id = id
        self._container = container
        self._clock = clock
        self._event_loop: EventLoop | None = None  #: None until the first async job
        self._events = WorkerEvents()
        self._worn_out = False  #: whether this worker ends after its job
        self._unreaped = 0  #: jobs since orphans were last reaped
        self.meter: UsageMeter
        self._inbox: socket.socket
        self._execution: JobExecution
        self._reports: WorkerReports
        self._runtime: JobRuntime

    def on(self, event: str, handler: WorkerHandler) -> Self:
        """Calls `handler(event, worker, job)` in this process at each `started` and `finished` of the worker, and
        `fetched`, `executed` and `failed` of a job.

        `job` is a ProcessState, None for events of the worker. A job that is killed has no event after `fetched`, and a
        worker that is killed none. A handler that raises is logged. Chainable; InvalidOptionError for an unknown event.
        """
        self._events.on(event, handler)
        return self

    def process_all(
        self,
        end: socket.socket,
        page: SharedPage,
        progress_limit: float,
        max_payload: int,
        limits: ResourceLimits = _NO_LIMITS,
        keep_children: bool = False,
        pipes: WorkerPipes | None = None,
    ) -> int:
        """Takes runs from the socket until it is closed; returns the exit code of the process."""
        output = None if pipes is None else WorkerOutput(pipes, self._clock)
        self._connect(end, page, self._progress_limit(progress_limit), self._max_payload(max_payload), limits, output)
        adopt_orphans()
        handle_but_not_in_forks(signal.SIGTERM, self._interrupt)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node handles Ctrl-C
        StackAnswers(page.stacks, self).start()
        if output is not None:
            output.start()
        try:
            self._reports.ready()
            self._events.emit(STARTED, self)
            self._execution.keep_surroundings(keep_children)
            while (message := self._next()) is not None:
                if message[0] == _RUN:  # an INTERRUPT comes too late
                    self._take(Run.decode(message))
        except JobInterrupted:
            pass
        finally:
            self._events.emit(FINISHED, self)
            self._execution.close()
            self._lender.close()
        return EXIT_OK

    def _connect(
        self,
        end: socket.socket,
        page: SharedPage,
        progress_limit: float,
        max_payload: int,
        limits: ResourceLimits = _NO_LIMITS,
        output: WorkerOutput | None = None,
    ) -> None:
        self._inbox = end
        self._execution = JobExecution(
            worker=self,
            events=self._events,
            container=self._container,
            max_payload=max_payload,
            limits=limits,
            tracing=tracing_of(bool(self._lender.given_option("tracing"))),
        )
        self._reports = WorkerReports(
            worker_id=self.id,
            end=end,
            page=page,
            progress_limit=progress_limit,
            clock=self._clock,
            output=output,
        )
        self.meter = UsageMeter()
        self._runtime = JobRuntime(self._lender, self._reports, self._clock, self.meter)

    def _progress_limit(self, limit: float) -> float:
        """Returns the seconds that hold here: what is set on the scheduler of this worker precedes the node's."""
        own = self._lender.given_option("progress_rate_limit")
        return limit if own is None else own / 1000

    def _max_payload(self, most: int) -> int:
        own: int | None = self._lender.given_option("max_payload")
        return most if own is None else own

    def _next(self) -> bytes | None:
        """Returns the next message. Orphans of jobs are reaped when there is none yet, or after a number of jobs."""
        try:
            message = packets.receive(self._inbox, _NOWAIT)
        except OSError:  # there is none, or the other end is gone, as a look that waits will show
            message = None
        self._unreaped += 1
        if message is None or self._unreaped == _REAP_EVERY:
            self._unreaped = 0
            reap_strangers()
        return packets.receive(self._inbox) if message is None else message

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Handles SIGTERM: the job ends now, its `finally` blocks run, then the process exits.

        A service is asked first.
        """
        self._reports.note_signal()
        stop_request = self.stop_request
        if stop_request is not None and not stop_request:
            stop_request.ask()
            return
        if self._event_loop is not None and self._event_loop.is_running:
            self._worn_out = True
            self._event_loop.interrupt_all(self._reports.kill_status)
            return
        raise JobInterrupted

    def _take(self, run: Run) -> None:
        if not run.flags & _ASYNC:
            self._process(run)
            return
        with self._execution.common_guard:
            others = self._async_loop().serve(run)
        self._execution.clean_up()
        self.meter.lap()
        if self._is_worn_out:
            for other in others:
                self._reports.unstarted(other)
            raise JobInterrupted
        for other in others:
            self._process(other)

    def coroutines(self) -> Mapping[str, Sequence[StackFrame]]:
        """Returns where the async jobs are, by their ids; while one of them is being started, without that."""
        return {} if self._event_loop is None else self._event_loop.coroutines()

    def _async_loop(self) -> EventLoop:
        if self._event_loop is None:
            self._event_loop = EventLoop(
                context=self,
                execution=self._execution,
                reports=self._reports,
                lender=self._lender,
                inbox=self._inbox,
                clock=self._clock,
            )
        return self._event_loop

    def _process(self, run: Run) -> None:
        """Executes one run and reports its end; JobInterrupted if it is the last one of this worker."""
        if run.start_by and run.is_late(self._clock.monotonic()):
            self._reports.unstarted(run)
            return
        runtime, flags = self._runtime, run.flags
        runtime.begin(run, StopRequest() if flags & _SERVICE else None)
        self._reports.begin(run, self.meter.begin())
        work = batch_work(run) if flags & _BATCH else None
        document = lenient.decode(run.body) if work is None else work.documents[0]
        if flags & _HOOK:
            result = self._notify(document)
        elif work is not None:
            result = self._process_batch(run, work)
        elif type(document) is not dict and (fault := fault_of_decoding(document)) is not None:
            result = AttemptResult(Ending.FAILED, {"error": fault.error()})
        elif (spec := REGISTRY.find(document["class"])) is None:
            result = refusal(document["class"])
        elif spec.is_async:
            result = self._process_alone(run)
        else:
            result = self._execution.ordinary(document, runtime)
        runtime.end()
        cost = self.meter.lap()
        ran = Ran(runtime.progress, runtime.began, cost if work is None else cost.share(run.jobs))
        if work is not None and work.is_ordinary:
            work.report(self._reports, result, ran)
        is_heard = self._report(run, document, result, ran)
        if not is_heard or self._worn_out or self._execution.is_spoiled:
            raise JobInterrupted  # what it left behind must not be the end of the next job; or the manager is gone

    def _process_batch(self, run: Run, work: BatchWork) -> AttemptResult:
        """Executes many jobs as one; those that end otherwise than the run does are to be reported."""
        refused = work.refusal
        if refused is not None:
            return refused
        if REGISTRY.is_async(work.documents[0]["class"]):
            return self._process_alone(run)
        work.is_ordinary = True
        return self._execution.ordinary(work.documents[0], self._runtime, work.batch)

    def _process_alone(self, run: Run) -> AttemptResult:
        """Executes an async job that came as an ordinary one: the node did not know, and the report says it."""
        with self._execution.common_guard:
            result = self._async_loop().alone(run)
        self._execution.clean_up()
        if result is INTERRUPTED:
            raise JobInterrupted
        return AttemptResult(result.ending, {**result.content, "async": True})

    def _report(self, run: Run, document: dict[str, Any], result: AttemptResult, ran: Ran) -> bool:
        """Reports the end of a run; False if the manager is gone."""
        error = result.content.get("error")
        if error is not None and error.get("type") in _EXHAUSTED:
            self._worn_out = True
        return self._reports.ended(run, document, result, ran)

    def _notify(self, document: dict[str, Any]) -> AttemptResult:
        """Calls the job's `notification`; an exception is logged only, since the job has ended already.

        If the class is not registered here, nothing is called, and the report says so: another node may know it.
        """
        if REGISTRY.find(document["class"]) is None:
            return AttemptResult(Ending.UNSTARTED, {"unknown": document["class"]})
        try:
            answer = self._execution.notification(document, self._runtime)
            if answer is not None:
                self._async_loop().finish(answer)
        except JobInterrupted:
            raise
        except BaseException as error:  # also SystemExit: the next job must not pay for it
            self._execution.exit_if_forked(error)
            facts = {"job": str(document["_id"])}
            try_to_log(logger.error, "notification failed", exc_info=loggable(error), extra=facts)
        self._execution.clean_up()
        return AttemptResult(Ending.SUCCEEDED, {})

    @property
    def _is_worn_out(self) -> bool:
        return self._worn_out or self._execution.is_spoiled

    @property
    def stop_request(self) -> StopRequest | None:
        """That of the service which runs here."""
        return self._runtime.stop_request

    def ended(self, run: Run, document: dict[str, Any], result: AttemptResult, ran: Ran) -> None:
        """Reports the end of an async job."""
        self._execution.exit_if_forked()
        self._report(run, document, AttemptResult(result.ending, dict(result.content)), ran)
