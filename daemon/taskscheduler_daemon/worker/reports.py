"""Reports of a worker to its manager: ready, progress, ends."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.model.attempt_result import AttemptResult, encode
from taskscheduler.model.attempts.cost import UNKNOWN, Cost
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Flag, Kind, Report, Run, encoded_report
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.worker.output import WorkerOutput

# plain numbers, as they are faster
_REPORT, _HOOK, _ASYNC = int(Kind.REPORT), int(Flag.HOOK), int(Flag.ASYNC)

_NOT_ORDINARY = _HOOK | _ASYNC  #: of whose output there is something else to do


class Ran(NamedTuple):
    """What a worker knows of a run that has ended."""

    progress: Mapping[str, Any]  #: the last one
    began: float  #: in monotonic time
    cost: Cost = UNKNOWN  #: of each of its jobs


class WorkerReports:
    """Sends reports over the socket of a worker; what is not worth a message is left in the shared page."""

    def __init__(
        self,
        worker_id: ObjectId,
        end: socket.socket,
        page: SharedPage,
        progress_limit: float,
        clock: Clock,
        output: WorkerOutput | None = None,
    ) -> None:
        self.progress_limit = progress_limit  #: seconds between two messages about the progress of a job
        self._worker = worker_id.binary
        self._end = end
        self._page = page
        self._clock = clock
        self._output = output

    def ready(self) -> None:
        """Reports that the worker takes runs from now on, its limit for progress, and the jobs that it knows."""
        packets.send(self._end, messages.ready(self.progress_limit, REGISTRY.names()))

    def ended(self, run: Run, document: dict[str, Any], result: AttemptResult, ran: Ran) -> bool:
        """Reports the end of a run; False if the manager is gone."""
        flags = run.flags
        if self._output is not None and (self._output.end() if not flags & _NOT_ORDINARY else self._had_output(run)):
            result.content["logged"] = True
        is_heard = packets.send(self._end, self._report(run.job_id, run.attempt, document, result, ran))
        if not flags & _ASYNC:
            self._page.row.end()
        return is_heard

    def _report(
        self,
        job_id: bytes,
        attempt: int,
        document: Mapping[str, Any],
        result: AttemptResult,
        ran: Ran,
    ) -> bytes:
        progress, began, (cpu, peak) = ran
        seconds, content = self._clock.monotonic() - began, result.content
        if progress:
            content["said"] = progress
        if REGISTRY.has_hook(document["class"]):
            content["hook"] = True
        ending, body = encode(result) if content else (result.ending, b"")
        spent = NOT_MEASURED if cpu is None else cpu
        return encoded_report(_REPORT, ending, job_id, attempt, self._worker, seconds, body, began, spent, peak or 0)

    def item_ended(self, run: Run, document: Mapping[str, Any], result: AttemptResult, ran: Ran) -> None:
        """Reports the end of one job of a batch; the end of the run is that of the others."""
        ended = AttemptResult(result.ending, {**result.content, **({"logged": True} if self._had_output(run) else {})})
        report = self._report(document["_id"].binary, document["attempt"], document, ended, ran)
        packets.send(self._end, messages.item(run.job_id, report))

    def _had_output(self, run: Run) -> bool:
        """Ends the output of a run; returns whether there was any, which the node stores before the end of the run."""
        if self._output is None or run.flags & _HOOK:
            return False
        return self._output.end_async((run.job_id, run.attempt)) if run.flags & _ASYNC else self._output.end()

    def unstarted(self, run: Run) -> None:
        """Hands back a run that was read and has not begun."""
        self._send(Report(Kind.REPORT, Ending.UNSTARTED, run.job_id, run.attempt, self._worker, 0.0, b""))

    def progress(self, run: Run, content: bytes, began: float) -> None:
        """Reports the progress of a job that began then; without content, that it lives and has left it in the page."""
        self._page.touch(self._clock.monotonic())
        ok = Ending.SUCCEEDED
        self._send(Report(Kind.PROGRESS, ok, run.job_id, run.attempt, self._worker, 0.0, content, began))

    def leave_progress(self, content: bytes) -> None:
        """Leaves the progress of the running job in the page, where the manager reads the latest now and then."""
        self._page.touch(self._clock.monotonic())
        self._page.write(content)

    def begin(self, run: Run, spent: float) -> None:
        """Notes that an ordinary run begins after so many CPU seconds, for whoever outlives this process."""
        self._page.begin(run.job_id, run.attempt, spent)
        if self._output is not None and not run.flags & _HOOK:
            self._output.begin((run.job_id, run.attempt))

    def begin_async(self, run: Run, spent: float) -> None:
        """Notes that an async run begins; NOT_MEASURED beside others."""
        self._page.spent = spent
        self._page.row.begin_async(run.job_id, run.attempt)
        if self._output is not None:
            self._output.begin_async((run.job_id, run.attempt))

    def end_async(self, run: Run) -> None:
        """Erases an async run, whose end was reported."""
        self._page.row.end_async(run.job_id, run.attempt)

    def note_signal(self) -> None:
        """Notes that a signal asks this worker to end; the manager knows whether it was its own."""
        self._page.note_signal()

    @property
    def worker(self) -> str:
        """The id of this worker as text, as nodes write it into jobs."""
        return self._worker.hex()

    @property
    def kill_status(self) -> Status:
        """Why the manager ends the running job; WAITING also if the signal did not come from the manager."""
        return Status(self._page.kill_status)

    def _send(self, report: Report) -> bool:
        return packets.send(self._end, report.encode())
