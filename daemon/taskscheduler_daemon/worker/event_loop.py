"""The event loop of a worker: many async jobs at once, until none is left."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Protocol

from taskscheduler.clock import NEVER, Clock
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.jobs.async_executor import INTERRUPTED
from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.commits import RunningAttempt
from taskscheduler.jobs.executor import refusal
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model import lenient
from taskscheduler.model.attempt_result import AttemptResult, failure
from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.attempts.stack import StackFrame
from taskscheduler.model.exception_texts import try_to_log
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.readable import fault_of_decoding
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Flag, Kind, Run
from taskscheduler_daemon.lending import AsyncBorrower, SchedulerLender
from taskscheduler_daemon.system.stack_dump import coroutine_frames
from taskscheduler_daemon.system.usage import Metered, UsageMeter
from taskscheduler_daemon.worker.batches import batch_work
from taskscheduler_daemon.worker.execution import JobExecution
from taskscheduler_daemon.worker.progress import encode_progress, merge_progress
from taskscheduler_daemon.worker.reports import Ran, WorkerReports

logger = logging.getLogger(__name__)

_ASYNC = int(Flag.ASYNC)  # a plain number, as `&` with it is faster

_AT_A_TIME = 64  #: messages that are read before the jobs get their turn again


class WorkerContext(Protocol):
    """The worker, as its event loop needs it."""

    @property
    def stop_request(self) -> StopRequest | None:
        """That of the service which runs here."""
        ...

    @property
    def meter(self) -> UsageMeter:
        """Measures what this process spends."""
        ...

    def ended(self, run: Run, document: dict[str, Any], result: AttemptResult, ran: Ran) -> None:
        """Reports the end of a run."""
        ...


class AsyncAttempt(AsyncBorrower):
    """One run in the loop, and the runtime that its job has."""

    def __init__(self, event_loop: EventLoop, run: Run) -> None:
        super().__init__(event_loop.lender)
        self.run = run
        self.work = batch_work(run)
        self.document: dict[str, Any] = lenient.decode(run.body) if self.work is None else self.work.documents[0]
        self.began = event_loop.clock.monotonic()
        self.progress: dict[str, Any] = {}
        self.is_interrupted = False
        self._metered: Metered[AttemptResult] | None = None
        self.task: asyncio.Task[None]
        self.result: AttemptResult = INTERRUPTED  #: until the task has another one
        self._event_loop = event_loop
        self._reports = event_loop.reports
        self._verdict = Status.WAITING
        self._pause = min(self._reports.progress_limit, run.silence / 3 or NEVER)  #: seconds between two signs of life
        self._sent_at = self._signed_at = -NEVER
        self._unsent = self._unsigned = False  #: whether there is new progress, and a sign of life to give
        self._timer: asyncio.TimerHandle | None = None

    def interrupt(self, verdict: Status) -> None:
        """Cancels the task of the job; `verdict` is the status that it becomes. Only once: its clean-up is spared."""
        if not self.is_interrupted:
            self.is_interrupted, self._verdict = True, verdict
            self.task.cancel()

    def flush(self, send: bool = True) -> None:
        """Sends the progress since the last message, unless it goes with the end."""
        if self._timer is not None:
            self._timer.cancel()
            if send:
                self._send()

    def _send(self) -> None:
        self._unsent = False
        self._reports.progress(self.run, encode_progress(self.progress, self.run), self.began)

    def _sign(self) -> None:
        """Sends new progress, or a bare sign of life if it is too early for progress: silence is limited."""
        self._timer, now = None, self._event_loop.clock.monotonic()
        if now >= self._sent_at + self._reports.progress_limit:
            self._sent_at = now
            self._send()
        elif self._unsigned:
            self._reports.progress(self.run, b"", self.began)
        self._signed_at, self._unsigned = now, False
        if self._unsent:
            self._sign_later(now)

    def _sign_later(self, now: float) -> None:
        at = min(self._sent_at + self._reports.progress_limit, self._signed_at + self._pause)
        self._timer = self._event_loop.loop.call_later(max(0.0, at - now), self._sign)

    def report(self, progress: float | None, message: str | None) -> None:
        """Reports progress as a sign of life: at most one message per limit, and the last one always.

        From any thread.
        """
        event_loop = self._event_loop
        if threading.get_ident() != event_loop.thread:
            event_loop.loop.call_soon_threadsafe(self.report, progress, message)
            return
        merge_progress(self.progress, progress, message)
        self._unsent = self._unsigned = True
        if self._timer is None and not self.task.done():
            self._sign_later(event_loop.clock.monotonic())

    def interruption(self) -> Status:
        """Returns why the job has to end now."""
        return self._verdict

    async def executed(self, execution: JobExecution, batch: BatchRun | None) -> AttemptResult:
        """Executes the job, and measures that; raises nothing."""
        self._metered = metered = Metered(execution.attempt(self.document, self, batch))
        result: AttemptResult = await metered
        return result

    def ran(self) -> Ran:
        """Returns what is known of it once it has ended: its own CPU time, and the memory of the whole process."""
        cpu = None if self._metered is None else self._metered.cpu
        cost = Cost(cpu, self._event_loop.context.meter.peak())
        return Ran(self.progress, self.began, cost.share(self.run.jobs))

    def attempt(self) -> RunningAttempt:
        """Returns this attempt."""
        return RunningAttempt(self.document, self._reports.worker, self.began, self.progress, self.ran().cost)

    @property
    def stop_request(self) -> StopRequest | None:
        """That of the service which runs here."""
        return self._event_loop.context.stop_request


class EventLoop:
    """Runs async jobs in the one event loop of a worker, which is kept while there are none."""

    def __init__(
        self,
        context: WorkerContext,
        execution: JobExecution,
        reports: WorkerReports,
        lender: SchedulerLender,
        inbox: socket.socket,
        clock: Clock,
    ) -> None:
        self.context = context
        self.reports = reports
        self.lender = lender
        self.clock = clock
        self._execution = execution
        self.loop = asyncio.new_event_loop()
        self.thread = threading.get_ident()
        self.is_running = False
        self._inbox = inbox
        self._attempts: dict[bytes, AsyncAttempt] = {}
        self._others: list[Run] = []
        self._idle: asyncio.Future[None] = self.loop.create_future()

    def serve(self, first: Run) -> list[Run]:
        """Runs this job and all async ones that arrive meanwhile; returns the other runs that arrived."""
        self._begin(first)
        self.loop.add_reader(self._inbox, self._read)
        try:
            while self._attempts:
                self._idle = self.loop.create_future()  # no task of ours, which a job could find and cancel
                self._run(self._idle)
        finally:
            self.loop.remove_reader(self._inbox)
        others, self._others = self._others, []
        return others

    def alone(self, run: Run) -> AttemptResult:
        """Runs this job and nothing else; returns its result, which is not reported."""
        attempt, ended = AsyncAttempt(self, run), self.loop.create_future()
        self._start(attempt, self._execute(attempt))
        attempt.task.add_done_callback(lambda _: ended.set_result(None))
        self._run(ended)
        attempt.flush()
        del self._attempts[run.job_id]
        return self._items_reported(attempt, _result_of(attempt))

    def coroutines(self) -> dict[str, list[StackFrame]]:
        """Returns where each job waits, or what it runs, by its id; for signal handlers."""
        return {job_id.hex(): coroutine_frames(one.task.get_coro()) for job_id, one in list(self._attempts.items())}

    def interrupt_all(self, verdict: Status) -> None:
        """Interrupts all jobs; for signal handlers."""
        self.loop.call_soon_threadsafe(self._interrupt_all, verdict)

    def finish(self, answer: Coroutine[Any, Any, Any]) -> None:
        """Runs a coroutine to its end while no job runs; raises what it raises."""
        task = self.loop.create_task(_error_of(answer))
        self._run(task)
        error = task.result()
        if error is not None:
            raise error

    def _run(self, work: asyncio.Future[Any]) -> None:
        self.is_running = True
        try:
            while True:
                try:
                    self.loop.run_until_complete(work)
                    return
                except (SystemExit, KeyboardInterrupt) as error:
                    if work.done():
                        raise
                    # a task that a job has started; whoever awaits it gets the same
                    text = "a task of an async job raised %s; the event loop goes on"
                    try_to_log(logger.warning, text, type(error).__name__)
                except RuntimeError:
                    if work.done():
                        raise
                    try_to_log(logger.warning, "an async job stopped the event loop, which goes on")
        finally:
            self.is_running = False

    def _read(self) -> None:
        for _ in range(_AT_A_TIME):
            try:
                message = packets.receive(self._inbox, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            if message is None:  # the worker gets no more, and ends when these jobs have
                self.loop.remove_reader(self._inbox)
                return
            self._take(message)

    def _take(self, message: bytes) -> None:
        if messages.kind_of(message) == Kind.INTERRUPT:
            job_id, verdict = messages.interruption(message)
            if job_id in self._attempts:
                self._attempts[job_id].interrupt(verdict)
            return
        run = Run.decode(message)
        if run.flags & _ASYNC:
            self._begin(run)
        else:
            self._others.append(run)

    def _begin(self, run: Run) -> None:
        if run.is_late(self.clock.monotonic()):
            self.reports.unstarted(run)
            return
        attempt = AsyncAttempt(self, run)
        self._start(attempt, self._noted(attempt))
        attempt.task.add_done_callback(lambda _: self._ended(attempt))

    def _start(self, attempt: AsyncAttempt, work: Coroutine[Any, Any, None]) -> None:
        self._attempts[attempt.run.job_id] = attempt
        attempt.task = self.loop.create_task(work)

    async def _noted(self, attempt: AsyncAttempt) -> None:
        """Notes that the attempt begins: until its task has its turn, it has not."""
        alone = len(self._attempts) == 1
        if alone:
            self.context.meter.lap()
        self.reports.begin_async(attempt.run, self.context.meter.begin() if alone else NOT_MEASURED)
        await self._execute(attempt)

    def _items_reported(self, attempt: AsyncAttempt, result: AttemptResult) -> AttemptResult:
        """Reports the jobs of a batch that end otherwise than the run, whose result it returns."""
        if attempt.work is not None and result is not INTERRUPTED:
            attempt.work.report(self.reports, result, attempt.ran())
        return result

    async def _execute(self, attempt: AsyncAttempt) -> None:
        if attempt.work is not None:
            attempt.result = attempt.work.refusal or await attempt.executed(self._execution, attempt.work.batch)
            return
        fault = fault_of_decoding(attempt.document)
        if fault is not None:
            attempt.result = AttemptResult(Ending.FAILED, {"error": fault.error()})
            return
        if REGISTRY.find(attempt.document["class"]) is None:
            attempt.result = refusal(attempt.document["class"])
            return
        attempt.result = await attempt.executed(self._execution, None)

    def _ended(self, attempt: AsyncAttempt) -> None:
        result = self._items_reported(attempt, _result_of(attempt))
        attempt.flush(send=result is INTERRUPTED)
        del self._attempts[attempt.run.job_id]
        if not self._attempts and not self._idle.done():
            self._idle.set_result(None)
        self.context.ended(attempt.run, attempt.document, result, attempt.ran())
        self.reports.end_async(attempt.run)

    def _interrupt_all(self, verdict: Status) -> None:
        for attempt in self._attempts.values():
            attempt.interrupt(verdict)


async def _error_of(answer: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Returns what a coroutine raises: the loop itself stumbles over some exceptions."""
    try:
        await answer
    except BaseException as error:
        return error
    return None


def _result_of(attempt: AsyncAttempt) -> AttemptResult:
    """Returns the result of an attempt; a job that cancelled its own task counts as interrupted."""
    error = None if attempt.task.cancelled() else attempt.task.exception()
    return attempt.result if error is None else failure(error)
