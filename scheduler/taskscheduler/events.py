"""Event names and their aliases, and the one rule for handlers that raise: they are logged and harm nobody."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from blinker import Namespace

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.exception_texts import loggable
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import ProcessState

Handler = Callable[[str, Any], Any]  #: called with the name of the event and the process

P = TypeVar("P", bound=ProcessState)

WORKER_SPAWN = "worker_spawn"
WORKER_KILL = "worker_kill"
PROGRESS = "progress"  #: a running job reports its progress; not part of `*`, at most one in progress_rate_limit
GAP = "gap"  #: some events were lost; the current states follow
ANY = "*"


class _StatusEvents(dict[Status, str]):
    """The event of each status; a stored value that is no status has the event `unreadable`."""

    def __missing__(self, status: Status) -> str:
        return status.label


STATUS_EVENTS = _StatusEvents({**{status: status.label for status in Status}, Status.CANCELED: "cancel"})
EVENTS = (*STATUS_EVENTS.values(), WORKER_SPAWN, WORKER_KILL, PROGRESS, GAP)


def full_name(event: str) -> str:
    """Returns the seed's name of an event: `worker_spawn` -> `taskscheduler.onWorkerSpawn`."""
    return "taskscheduler.on" + "".join(word.capitalize() for word in event.split("_"))


_ALIASES = {event: event for event in EVENTS} | {full_name(event): event for event in EVENTS}
_ALIASES |= {"workerSpawn": WORKER_SPAWN, "workerKill": WORKER_KILL, "canceled": "cancel", ANY: ANY}


def event_name(name: str) -> str:
    """Returns the short name of an event given by any of its names; InvalidOptionError for an unknown one."""
    try:
        return _ALIASES[name]
    except (KeyError, TypeError):
        known = ", ".join((*EVENTS, ANY))
        raise InvalidOptionError(f"unknown event {name!r}; the events are {known}") from None


class Change(Protocol):
    """A change of a stored job."""

    @property
    def status(self) -> Status: ...

    @property
    def document(self) -> Mapping[str, Any]: ...

    @property
    def progress(self) -> bool: ...


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
        """Calls `handler(event_name, process)` at every event of this name, or of any but `progress` for `*`."""
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
        signal = self._namespace.get(full_name(PROGRESS))
        return bool(signal is not None and signal.receivers)

    def emit(self, event: str, process: ProcessState) -> None:
        """Calls every handler of `event` and of `*`; one that raises is logged."""
        for name in (full_name(event), ANY) if event != PROGRESS else (full_name(event),):
            signal = self._namespace.get(name)
            for receiver in list(signal.receivers_for(event)) if signal else ():
                with self.logging_failures(event, process):
                    receiver(event, process=process)

    @contextmanager
    def logging_failures(self, event: str, process: ProcessState) -> Iterator[None]:
        """Logs what a handler raises, so that it harms nobody."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                raise  # here a program may end, and Ctrl-C arrives
            facts = {"event": event, "job": str(process.id)}
            self._logger.error("event handler failed", exc_info=loggable(error), extra=facts)


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

    def announce(self, event: str, process: ProcessState) -> None:
        """Calls the handlers of an event."""
        if self.wanted:
            self._events.emit(event, process)

    def announce_added(self, process: P) -> P:
        """Announces a job that was added or replaced, and returns it; not one that existed."""
        if self.wanted and process.outcome != "existing":
            self._events.emit(STATUS_EVENTS[process.status], process)
        return process

    def announce_status(self, document: Mapping[str, Any]) -> None:
        """Announces the status of a stored job."""
        self.announce(STATUS_EVENTS[Status(document.get("status", -1))], self._processes.process(document))

    def announce_change(self, change: Change) -> None:
        """Announces a change that somebody else has made."""
        self.announce(event_of(change), self._processes.process(change.document))

    def leave_to(self, listener: EventListener) -> None:
        """Announces nothing as long as this listener runs."""
        with self._lock:
            self._listeners = [*(one for one in self._listeners if one.running), listener]

    def stop_listeners(self) -> None:
        """Stops the listeners in the background; raises what ended one of them early."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            if listener.running:
                listener.stop()
