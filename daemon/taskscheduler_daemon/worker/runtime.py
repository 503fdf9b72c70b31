"""What an ordinary job may ask of its worker while it runs."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

from taskscheduler.clock import NEVER, Clock
from taskscheduler.errors import SchedulerError
from taskscheduler.jobs.commits import RunningAttempt
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model import lenient
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.lending import Borrower, SchedulerLender
from taskscheduler_daemon.system.usage import UsageMeter
from taskscheduler_daemon.worker.progress import encode_progress, merge_progress
from taskscheduler_daemon.worker.reports import WorkerReports

_HOOK = int(Flag.HOOK)


class JobRuntime(Borrower):
    """Lends the running job the scheduler of its worker, and reports its progress. One for all jobs in turn."""

    def __init__(self, lender: SchedulerLender, reports: WorkerReports, clock: Clock, meter: UsageMeter) -> None:
        super().__init__(lender)
        self._meter = meter
        self.stop_request: StopRequest | None = None  #: that of the service which runs here
        self.progress: dict[str, Any] = {}  #: what the running job has reported, to go with its end
        self.began = 0.0  #: when it began, in monotonic time
        self._reports = reports
        self._clock = clock
        self._run: Run | None = None
        self._sent_at = -NEVER
        self._reporting = threading.RLock()  #: of threads of the job; a signal handler of it may report as well

    def begin(self, run: Run, stop_request: StopRequest | None) -> None:
        """Turns to the next job."""
        self._run, self.stop_request, self.began = run, stop_request, self._clock.monotonic()
        self.progress, self._sent_at = {}, -NEVER

    def end(self) -> None:
        """Ignores from now on what threads of the job still report."""
        self._run = None

    def report(self, progress: float | None, message: str | None) -> None:
        """Reports progress as a sign of life; safe to call from many threads.

        The latest goes to the page, and at most one message per limit has the manager read it there: so nothing older
        comes after it. Without a limit each goes with a message.
        """
        with self._reporting:
            if self._run is None:
                return
            merge_progress(self.progress, progress, message)
            now, content = self._clock.monotonic(), encode_progress(self.progress, self._run)
            if self._reports.progress_limit <= 0:
                self._reports.progress(self._run, content, self.began)
                return
            self._reports.leave_progress(content)
            if now - self._sent_at >= self._reports.progress_limit:
                self._sent_at = now
                self._reports.progress(self._run, b"", self.began)

    def attempt(self) -> RunningAttempt:
        """Returns the attempt that runs."""
        if self._run is None or self._run.flags & _HOOK:
            raise SchedulerError("a job can commit only while it runs")
        document, cost = lenient.decode(self._run.body), self._meter.so_far()
        return RunningAttempt(document, self._reports.worker, self.began, self.progress, cost)

    def async_scheduler(self) -> NoReturn:
        """Raises SchedulerError: only async jobs run in an event loop."""
        raise SchedulerError("async_scheduler is for async jobs; use scheduler")

    def interruption(self) -> Status:
        """Returns why the job has to end now."""
        return self._reports.kill_status
