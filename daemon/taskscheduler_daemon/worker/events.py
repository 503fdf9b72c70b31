"""What a worker tells those who listen in its own process: that it started, and what becomes of each job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from blinker import Namespace

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.process_state import ProcessState

if TYPE_CHECKING:
    from taskscheduler_daemon.worker.worker import Worker

WorkerHandler = Callable[[str, "Worker", ProcessState | None], Any]

STARTED = "started"  #: the worker takes jobs from now on

FINISHED = "finished"  #: the worker ends

FETCHED = "fetched"  #: a job has arrived

EXECUTED = "executed"  #: a job has succeeded

FAILED = "failed"  #: a job has failed

EVENTS = (STARTED, FINISHED, FETCHED, EXECUTED, FAILED)

logger = logging.getLogger(__name__)


class WorkerEvents:
    """Handlers by event, on blinker signals."""

    def __init__(self) -> None:
        self._signals = Namespace()

    def on(self, event: str, handler: WorkerHandler) -> None:
        """Call `handler(event, worker, job)` at every event of this name."""
        if event not in EVENTS:
            raise InvalidOptionError(f"unknown event {event!r}; the events of a worker are {', '.join(EVENTS)}")
        if not callable(handler):
            raise InvalidOptionError(f"the handler of {event!r} must be callable, not {type(handler).__name__}")

        def receive(worker: Worker, job: ProcessState | None) -> None:
            handler(event, worker, job)

        self._signals.signal(event).connect(receive, weak=False)

    def tell(self, event: str, worker: Worker, document: Mapping[str, Any] | None) -> None:
        """Something happens to the job of this document, or to the worker itself."""
        running = {"status": int(Status.PROCESSING)}
        self._emit(event, worker, None if document is None else ProcessState({**running, **document}))

    def tell_end(self, worker: Worker, document: Mapping[str, Any], ending: Ending, content: Mapping[str, Any]) -> None:
        """A job has ended, with this content."""
        succeeded = ending is Ending.SUCCEEDED
        status = {"status": int(Status.DONE if succeeded else Status.FAILED)}
        self._emit(EXECUTED if succeeded else FAILED, worker, ProcessState({**document, **content, **status}))

    def _emit(self, event: str, worker: Worker, job: ProcessState | None) -> None:
        """Call every handler of `event`; one that raises is logged."""
        for receiver in list(self._signals.signal(event).receivers_for(worker)):
            try:
                receiver(worker, job=job)
            except Exception:
                facts = {"event": event, "worker": str(worker.id), "job": str(job.id) if job else None}
                logger.exception("handler of a worker's event failed", extra=facts)
