"""Calls the handlers of events; the one rule for those that raise: they are logged and harm nobody."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, Protocol, TypeVar

from blinker import Namespace
from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.event_names import ANY, APART, FLOW_EVENTS, GAP, PROGRESS, STATUS_EVENTS, event_name, full_name
from taskscheduler.flow_state import FlowState
from taskscheduler.model.announced import Announced
from taskscheduler.model.exception_texts import loggable, try_to_log
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import ProcessState

_MOST_FLOWS = 10_000  #: whose end is remembered

Handler = Callable[[str, Any], Any]  #: called with the name of the event and the process

P = TypeVar("P", bound=ProcessState)


class Change(Protocol):
    """A change of a stored job."""

    @property
    def status(self) -> Status: ...

    @property
    def document(self) -> Mapping[str, Any]: ...

    @property
    def progress(self) -> bool: ...

    @property
    def requeued(self) -> bool: ...


def event_of(change: Change) -> str:
    """Returns the name of the event for a change of a job."""
    return PROGRESS if change.progress else STATUS_EVENTS[change.status]


class Events:
    """Calls handlers by event, on top of a blinker namespace whose signals bear the full names."""

    def __init__(self, namespace: Namespace | None, logger: logging.Logger) -> None:
        if namespace is not None and not isinstance(namespace, Namespace):
            raise InvalidOptionError(f"option emitter must be a blinker Namespace, not {type(namespace).__name__}")
        self._namespace = Namespace() if namespace is None else namespace
        self._logger = logger

    def on(self, name: str, handler: Handler) -> None:
        """Calls `handler(event_name, process)` at every event of this name, or of any event of jobs for `*`.

        `*` leaves `progress` out. At the end of a flow, `process` is a flow.
        """
        event = event_name(name)
        if not callable(handler):
            raise InvalidOptionError(f"the handler of {name!r} must be callable, not {type(handler).__name__}")

        def receive(sender: str, process: ProcessState) -> None:
            handler(sender, process)

        signal = self._namespace.signal(ANY if event == ANY else full_name(event))
        signal.connect(receive, weak=False)

    @property
    def wanted(self) -> bool:
        """Whether there is any handler."""
        return any(signal.receivers for signal in list(self._namespace.values()))

    @property
    def wants_progress(self) -> bool:
        """Whether there is a handler for the progress of running jobs."""
        return self._has_handlers(PROGRESS)

    @property
    def wants_flows(self) -> bool:
        """Whether there is a handler for the end of flows."""
        return any(map(self._has_handlers, FLOW_EVENTS.values()))

    def _has_handlers(self, event: str) -> bool:
        signal = self._namespace.get(full_name(event))
        return bool(signal is not None and signal.receivers)

    def emit(self, event: str, process: ProcessState | FlowState) -> None:
        """Calls every handler of `event` and of `*`; one that raises is logged."""
        for name in (full_name(event), ANY) if event not in APART else (full_name(event),):
            signal = self._namespace.get(name)
            for receiver in list(signal.receivers_for(event)) if signal else ():
                with self.logging_failures(event, process):
                    receiver(event, process=process)

    @contextmanager
    def logging_failures(self, event: str, process: ProcessState | FlowState) -> Iterator[None]:
        """Logs what a handler raises, so that it harms nobody."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                raise  # here a program may end, and Ctrl-C arrives
            facts = {"event": event, "flow" if event in FLOW_EVENTS.values() else "job": str(process.id)}
            try_to_log(self._logger.error, "event handler failed", exc_info=loggable(error), extra=facts)


class Adopting(Protocol):
    """Makes the processes that handlers are called with."""

    def process(self, document: Mapping[str, Any]) -> ProcessState:
        """Returns the process for a stored job."""
        ...


class EventListener(Protocol):
    """Delivers events to the same handlers from a thread of its own."""

    @property
    def running(self) -> bool: ...

    def stop(self) -> None: ...


class Announcer:
    """Announces what a scheduler does and sees to its handlers, unless a listener in the background delivers it."""

    def __init__(self, events: Events, processes: Adopting) -> None:
        self._events = events
        self._processes = processes
        self._listeners: list[EventListener] = []
        self._lock = threading.Lock()
        self._announced = Announced()
        self._ended_flows: dict[ObjectId, datetime] = {}  #: when each had ended that was announced last
        self._emitting: dict[Any, deque[tuple[str, ProcessState]]] = {}  #: by job

    @property
    def wanted(self) -> bool:
        """Whether there are handlers, and nobody else delivers events to them."""
        return self._events.wanted and not self._is_left_to_others

    @property
    def wants_progress(self) -> bool:
        """The same for the progress of running jobs."""
        return self._events.wants_progress and not self._is_left_to_others

    @property
    def _is_left_to_others(self) -> bool:
        return any(listener.running for listener in self._listeners)

    @property
    def wants_flows(self) -> bool:
        """Whether there are handlers for the end of flows, whoever delivers it to them."""
        return self._events.wants_flows

    def announce_flow(self, flow: FlowState) -> None:
        """Announces the end of a flow, unless a listener in the background does."""
        if self.wants_flows and not self._is_left_to_others:
            self.deliver_flow(flow)

    def deliver_flow(self, flow: FlowState) -> None:
        """Calls the handlers of the end of a flow, each end once: others may have announced it before."""
        event, ended = FLOW_EVENTS.get(flow.status), flow.ended
        if event is None or ended is None:
            return
        with self._lock:
            known = self._ended_flows.get(flow.id)
            if known is not None and known >= ended:
                return
            self._ended_flows[flow.id] = ended
            if len(self._ended_flows) > _MOST_FLOWS:
                del self._ended_flows[next(iter(self._ended_flows))]
        self._events.emit(event, flow)

    def announce(self, event: str, process: ProcessState, requeued: bool = False) -> None:
        """Calls the handlers of an event, each change of a job once: others may have announced it before.

        `requeued`: an ended job was put back into the queue.
        """
        if self.wanted:
            self.deliver(event, process, requeued)

    def deliver(self, event: str, process: ProcessState, requeued: bool = False) -> None:
        """Does the same, also while a listener in the background delivers: for that listener."""
        if event == GAP or not _is_remembered(process):
            self._events.emit(event, process)
        elif event == PROGRESS:
            with self._lock:
                due = self._announced.is_due(process.to_dict())
            if due:
                self._emit(process.id, [(event, process)])
        else:
            self._announce_state(process, requeued)

    def follow(self, processes: Iterable[ProcessState]) -> None:
        """Announces every step of these jobs from here on, also those that nobody saw happen."""
        if self.wanted:
            with self._lock:
                for process in processes:
                    if _is_remembered(process):
                        self._announced.follow(process.to_dict())

    def _announce_state(self, process: ProcessState, requeued: bool = False, complete: bool = False) -> None:
        if not _is_remembered(process):
            self._events.emit(STATUS_EVENTS[process.status], process)
            return
        with self._lock:
            due = self._announced.due(process.to_dict(), requeued, complete)
        steps = [self._processes.process(document) for document in due[:-1]] + [process] if due else []
        self._emit(process.id, [(STATUS_EVENTS[step.status], step) for step in steps])

    def _emit(self, job_id: Any, announcements: Iterable[tuple[str, ProcessState]]) -> None:
        """Calls the handlers in the order of the changes; a thread that calls them for this job already goes on."""
        with self._lock:
            line = self._emitting.get(job_id)
            if line is not None:
                line.extend(announcements)
                return
            line = self._emitting[job_id] = deque(announcements)
        try:
            while announcement := self._next(job_id, line):
                self._events.emit(*announcement)
        except BaseException:  # Ctrl-C, or the end of the program
            self._emitting.pop(job_id, None)
            raise

    def _next(self, job_id: Any, line: deque[tuple[str, ProcessState]]) -> tuple[str, ProcessState] | None:
        with self._lock:
            if line:
                return line.popleft()
            self._emitting.pop(job_id, None)
            return None

    def announce_added(self, process: P) -> P:
        """Announces a job that was added or replaced, and returns it; not one that existed."""
        if self.wanted and process.outcome != "existing":
            self._announce_state(process)
        return process

    def announce_requeued(self, process: P) -> P:
        """Announces an ended job that was put back into the queue, and returns it."""
        if self.wanted:
            self._announce_state(process, requeued=True)
        return process

    def announce_updated(self, process: P) -> P:
        """Announces a queued job whose status may have changed, and returns it."""
        if self.wanted:
            self._announce_state(process)
        return process

    def announce_status(self, document: Mapping[str, Any]) -> None:
        """Announces the status of a stored job."""
        if self.wanted:
            self._announce_state(self._processes.process(document))

    def announce_change(self, change: Change) -> None:
        """Announces a change that somebody else has made, and before it what led to it and was not seen."""
        if not self.wanted:
            return
        process = self._processes.process(change.document)
        if change.progress or not _is_remembered(process):
            self.deliver(event_of(change), process)
        else:
            self._announce_state(process, change.requeued, complete=True)

    def leave_to(self, listener: EventListener) -> None:
        """Announces nothing as long as this listener runs."""
        with self._lock:
            self._listeners = [*(one for one in self._listeners if one.running), listener]

    def stop_listeners(self) -> None:
        """Stops the listeners in the background; raises what ended one of them early."""
        listeners, self._listeners = self._listeners, []
        with ExitStack() as steps:  # each is stopped, also if another one raises
            for listener in listeners:
                if listener.running:
                    steps.callback(listener.stop)


def _is_remembered(process: ProcessState) -> bool:
    """Whether what was announced of a job can be remembered; a stranger may have stored one under an odd id."""
    job_id: Any = process.id
    return isinstance(job_id, ObjectId)
