"""Reports of a worker to its manager: ready, progress, ends."""

from __future__ import annotations

import socket
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.model.attempt_result import AttemptResult, encode
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Kind, Report, Run
from taskscheduler_daemon.ipc.shared_page import SharedPage


class WorkerReports:
    """Sends reports over the socket of a worker; what is not worth a message is left in the shared page."""

    def __init__(
        self, worker_id: ObjectId, end: socket.socket, page: SharedPage, progress_limit: float, clock: Clock
    ) -> None:
        self.progress_limit = progress_limit  #: seconds between two messages about the progress of a job
        self._worker = worker_id.binary
        self._end = end
        self._page = page
        self._clock = clock

    def ready(self) -> None:
        """Reports that the worker takes runs from now on."""
        packets.send(self._end, bytes([Kind.READY]))

    def ended(
        self, run: Run, document: dict[str, Any], result: AttemptResult, progress: dict[str, Any], seconds: float
    ) -> bool:
        """Reports the end of a run with its last progress; False if the manager is gone."""
        content = result.content
        if progress:
            content["said"] = progress
        if REGISTRY.has_hook(document["class"]):
            content["hook"] = True
        ending, body = encode(result)
        return self._send(Kind.REPORT, ending, run, seconds, body)

    def unstarted(self, run: Run) -> None:
        """Hands back a run that was read and has not begun."""
        self._send(Kind.REPORT, Ending.UNSTARTED, run, 0.0, b"")

    def progress(self, run: Run, content: bytes) -> None:
        """Reports the progress of a job; without content, that it is alive, and has left its progress in the page."""
        self._page.touch(self._clock.monotonic())
        self._send(Kind.PROGRESS, Ending.SUCCEEDED, run, 0.0, content)

    def leave_progress(self, content: bytes) -> None:
        """Leaves the progress of the running job in the page, where the manager reads the latest now and then."""
        self._page.touch(self._clock.monotonic())
        self._page.write(content)

    @property
    def kill_status(self) -> Status:
        """Why the manager ends the running job; WAITING also if the signal did not come from the manager."""
        return Status(self._page.kill_status)

    def _send(self, kind: Kind, ending: Ending, run: Run, seconds: float, body: bytes) -> bool:
        report = Report(kind, ending, run.job_id, run.attempt, self._worker, seconds, body)
        return packets.send(self._end, report.encode())
