"""The event loop of a worker: many async jobs at once, until none is left."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Protocol

import bson

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.clock import NEVER, Clock
from taskscheduler.jobs.async_executor import INTERRUPTED, AsyncRuntime
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.payload import CODEC
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Run
from taskscheduler_daemon.worker.progress import encode_progress, merge_progress

logger = logging.getLogger(__name__)

_AT_A_TIME = 64  #: messages that are read before the jobs get their turn again


class WorkerContext(Protocol):
    """The worker, as its event loop needs it."""

    @property
    def stop_request(self) -> StopRequest | None: ...

    def scheduler(self) -> Scheduler: ...

    def attempt(self, document: dict[str, Any], runtime: AsyncRuntime) -> Coroutine[Any, Any, AttemptResult]:
        """Make the attempt; raises nothing."""
        ...

    def send_end(
        self, run: Run, document: dict[str, Any], end: AttemptResult, said: dict[str, Any], seconds: float
    ) -> None: ...

    def send_progress(self, run: Run, content: bytes) -> None:
        """Report what the job says, or with no content that it is alive."""
        ...


class AsyncAttempt:
    """One run in the loop, and what it lends to its job."""

    def __init__(self, work: EventLoop, run: Run) -> None:
        self.run = run
        self.document: dict[str, Any] = bson.decode(run.body, codec_options=CODEC)
        self.began = work.clock.monotonic()
        self.said: dict[str, Any] = {}
        self.is_interrupted = False
        self.task: asyncio.Task[None]
        self.end: AttemptResult = INTERRUPTED  #: as long as the task has not come to one
        self._work = work
        self._verdict = Status.WAITING
        self._pause = min(work.progress_limit, run.silence / 3 or NEVER)  #: seconds between two signs of life
        self._sent_at = self._signed_at = -NEVER
        self._unsent = self._unsigned = False  #: whether there is something to say, and a sign of life to give
        self._timer: asyncio.TimerHandle | None = None

    def interrupt(self, verdict: Status) -> None:
        """End the job; `verdict` is what becomes of it. Once: what it does about it is not to be disturbed again."""
        if not self.is_interrupted:
            self.is_interrupted, self._verdict = True, verdict
            self.task.cancel()

    def flush(self, send: bool = True) -> None:
        """Send what has been said since the last message, or not: it goes with the end."""
        if self._timer is not None:
            self._timer.cancel()
            if send:
                self._send()

    def _send(self) -> None:
        self._unsent = False
        self._work.host.send_progress(self.run, encode_progress(self.said, self.run))

    def _sign(self) -> None:
        """Send what is new, or if it is too early for that, only that the job is alive: its silence is counted."""
        self._timer, now = None, self._work.clock.monotonic()
        if now >= self._sent_at + self._work.progress_limit:
            self._sent_at = now
            self._send()
        elif self._unsigned:
            self._work.host.send_progress(self.run, b"")
        self._signed_at, self._unsigned = now, False
        if self._unsent:
            self._sign_later(now)

    def _sign_later(self, now: float) -> None:
        at = min(self._sent_at + self._work.progress_limit, self._signed_at + self._pause)
        self._timer = self._work.loop.call_later(max(0.0, at - now), self._sign)

    # -- what the job may ask for -----------------------------------------------------------------------------------

    def report(self, progress: float | None, message: str | None) -> None:
        """Pass on a sign of life: at most one message in the time limit, and the last one always. From any thread."""
        work = self._work
        if threading.get_ident() != work.thread:
            work.loop.call_soon_threadsafe(self.report, progress, message)
            return
        merge_progress(self.said, progress, message)
        self._unsent = self._unsigned = True
        if self._timer is None and not self.task.done():
            self._sign_later(work.clock.monotonic())

    def scheduler(self) -> Scheduler:
        return self._work.host.scheduler()

    def async_scheduler(self) -> AsyncScheduler:
        return self._work.scheduler()

    def interruption(self) -> Status:
        return self._verdict

    @property
    def stop_request(self) -> StopRequest | None:
        """That of the service which runs here."""
        return self._work.host.stop_request


class EventLoop:
    """Runs async jobs in the one event loop of a worker, which is kept while there are none."""

    def __init__(self, host: WorkerContext, inbox: socket.socket, progress_limit: float, clock: Clock) -> None:
        self.host = host
        self.progress_limit = progress_limit
        self.clock = clock
        self.loop = asyncio.new_event_loop()
        self.thread = threading.get_ident()
        self.is_running = False
        self._inbox = inbox
        self._attempts: dict[bytes, AsyncAttempt] = {}
        self._others: list[Run] = []
        self._idle: asyncio.Future[None] = self.loop.create_future()
        self._scheduler: AsyncScheduler | None = None

    def serve(self, first: Run) -> list[Run]:
        """Make this run and all async ones that arrive meanwhile; when none is left, the other runs that arrived."""
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
        """Make this run and nothing else; its end is not sent."""
        attempt, ended = AsyncAttempt(self, run), self.loop.create_future()
        self._start(attempt)
        attempt.task.add_done_callback(lambda _: ended.set_result(None))
        self._run(ended)
        attempt.flush()
        del self._attempts[run.job_id]
        return _end_of(attempt)

    def interrupt_all(self, verdict: Status) -> None:
        """End all jobs; for signal handlers."""
        self.loop.call_soon_threadsafe(self._interrupt_all, verdict)

    def finish(self, answer: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine to its end while no job runs."""
        self._run(self.loop.create_task(answer))

    def scheduler(self) -> AsyncScheduler:
        if self._scheduler is None:
            self._scheduler = AsyncScheduler.of(self.host.scheduler())
        return self._scheduler

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
                    logger.warning("task of an async job ended by %s", type(error).__name__)
                except RuntimeError:
                    if work.done():
                        raise
                    logger.warning("an async job has stopped the event loop, which goes on")
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
        if run.flags & Flag.ASYNC:
            self._begin(run)
        else:
            self._others.append(run)

    def _begin(self, run: Run) -> None:
        attempt = AsyncAttempt(self, run)
        self._start(attempt)
        attempt.task.add_done_callback(lambda _: self._ended(attempt))

    def _start(self, attempt: AsyncAttempt) -> None:
        self._attempts[attempt.run.job_id] = attempt
        attempt.task = self.loop.create_task(self._make(attempt))

    async def _make(self, attempt: AsyncAttempt) -> None:
        attempt.end = await self.host.attempt(attempt.document, attempt)

    def _ended(self, attempt: AsyncAttempt) -> None:
        end = _end_of(attempt)
        attempt.flush(send=end is INTERRUPTED)
        seconds = self.clock.monotonic() - attempt.began
        del self._attempts[attempt.run.job_id]
        if not self._attempts and not self._idle.done():
            self._idle.set_result(None)
        self.host.send_end(attempt.run, attempt.document, end, attempt.said, seconds)

    def _interrupt_all(self, verdict: Status) -> None:
        for attempt in self._attempts.values():
            attempt.interrupt(verdict)


def _end_of(attempt: AsyncAttempt) -> AttemptResult:
    """What it came to, also if the job has cancelled its own task, which then counts as cancelled."""
    if not attempt.task.cancelled():
        attempt.task.result()
    return attempt.end
