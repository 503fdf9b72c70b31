"""The events inside a worker process: the worker starts and ends, a job arrives, succeeds or fails."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from blinker import Namespace
from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.jobs.forks import leave_fork
from taskscheduler.model.exception_texts import JobInterrupted, loggable, try_to_log
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.process_state import ProcessState


class EventSource(Protocol):
    """The worker, as handlers get it."""

    @property
    def id(self) -> ObjectId: ...


#: handler(event, worker, job); it may declare the worker as Worker
WorkerHandler = Callable[[str, Any, ProcessState | None], Any]

STARTED = "started"  #: the worker takes jobs from now on

FINISHED = "finished"  #: the worker ends

FETCHED = "fetched"  #: a job has arrived

EXECUTED = "executed"  #: a job has succeeded

FAILED = "failed"  #: a job has failed

EVENTS = (STARTED, FINISHED, FETCHED, EXECUTED, FAILED)

logger = logging.getLogger(__name__)


class WorkerEvents:
    """Calls handlers at the events of one worker, on blinker signals."""

    def __init__(self) -> None:
        self._signals = Namespace()
        self.has_handlers = False  #: whether anybody listens

    def on(self, event: str, handler: WorkerHandler) -> None:
        """Calls `handler(event, worker, job)` at every event of this name; InvalidOptionError for an unknown one."""
        if event not in EVENTS:
            raise InvalidOptionError(f"unknown event {event!r}; the events of a worker are {', '.join(EVENTS)}")
        if not callable(handler):
            raise InvalidOptionError(f"the handler of {event!r} must be callable, not {type(handler).__name__}")

        def receive(worker: EventSource, job: ProcessState | None) -> None:
            handler(event, worker, job)

        self._signals.signal(event).connect(receive, weak=False)
        self.has_handlers = True

    def emit(self, event: str, worker: EventSource, document: Mapping[str, Any] | None = None) -> None:
        """Emits an event of the job of this document, or of the worker itself."""
        if not self.has_handlers:
            return
        running = {"status": int(Status.PROCESSING)}
        self._emit(event, worker, None if document is None else ProcessState({**running, **document}))

    def emit_end(
        self, worker: EventSource, document: Mapping[str, Any], ending: Ending, content: Mapping[str, Any]
    ) -> None:
        """Emits the end of a job, with its result or error; none for one that has put itself off, or was lost."""
        if not self.has_handlers or ending in (Ending.SNOOZED, Ending.RETURNED):
            return
        succeeded = ending is Ending.SUCCEEDED
        status = {"status": int(Status.DONE if succeeded else Status.FAILED)}
        self._emit(EXECUTED if succeeded else FAILED, worker, ProcessState({**document, **content, **status}))

    def _emit(self, event: str, worker: EventSource, job: ProcessState | None) -> None:
        """Calls every handler of `event`; an exception of one is logged and harms no other. Their forks end here."""
        owner = os.getpid()
        for receiver in list(self._signals.signal(event).receivers_for(worker)):
            try:
                receiver(worker, job=job)
                leave_fork(owner)
            except JobInterrupted:
                raise
            except BaseException as error:  # also SystemExit: a handler must not take its worker with it
                leave_fork(owner, error)
                facts = {"event": event, "worker": str(worker.id), "job": str(job.id) if job else None}
                text = "a handler of a worker's event failed"
                try_to_log(logger.error, text, exc_info=loggable(error), extra=facts)
