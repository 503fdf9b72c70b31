"""The names of all events, and the one rule for handlers that raise: they are logged and harm nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blinker import Namespace

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.lifecycle import Status

if TYPE_CHECKING:
    from taskscheduler.process import Process

Handler = Callable[[str, "Process"], Any]

WORKER_SPAWN = "worker_spawn"
WORKER_KILL = "worker_kill"
PROGRESS = "progress"  #: a running job said how far it is; not part of `*`, and at most one in progress_rate_limit
GAP = "gap"  #: events were missed; what is known now follows
ANY = "*"

STATUS_EVENTS = {status: status.label for status in Status} | {Status.CANCELED: "cancel"}
EVENTS = (*STATUS_EVENTS.values(), WORKER_SPAWN, WORKER_KILL, PROGRESS, GAP)


def full_name(event: str) -> str:
    """The seed's name of an event: `worker_spawn` -> `taskscheduler.onWorkerSpawn`."""
    return "taskscheduler.on" + "".join(word.capitalize() for word in event.split("_"))


_ALIASES = {event: event for event in EVENTS} | {full_name(event): event for event in EVENTS}
_ALIASES |= {"workerSpawn": WORKER_SPAWN, "workerKill": WORKER_KILL, "canceled": "cancel", ANY: ANY}


def event_name(name: str) -> str:
    """The short name of an event given by any of its names; InvalidOptionError for an unknown one."""
    try:
        return _ALIASES[name]
    except (KeyError, TypeError):
        known = ", ".join((*EVENTS, ANY))
        raise InvalidOptionError(f"unknown event {name!r}; the events are {known}") from None


class Events:
    """Handlers by event on top of a blinker namespace, whose signals bear the full names."""

    def __init__(self, namespace: Namespace | None, logger: logging.Logger) -> None:
        if namespace is not None and not isinstance(namespace, Namespace):
            raise InvalidOptionError(f"option emitter must be a blinker Namespace, not {type(namespace).__name__}")
        self._namespace = Namespace() if namespace is None else namespace
        self._logger = logger

    def on(self, name: str, handler: Handler) -> None:
        """Call `handler(event_name, process)` at every event of this name, or of any but `progress` for `*`."""
        event = event_name(name)
        if not callable(handler):
            raise InvalidOptionError(f"the handler of {name!r} must be callable, not {type(handler).__name__}")

        def receive(sender: str, process: Process) -> None:
            handler(sender, process)

        signal = self._namespace.signal(ANY if event == ANY else full_name(event))
        signal.connect(receive, weak=False)

    @property
    def wanted(self) -> bool:
        """Whether anybody listens at all."""
        return any(signal.receivers for signal in list(self._namespace.values()))

    @property
    def wants_progress(self) -> bool:
        """Whether somebody wants to hear what jobs say while they run."""
        signal = self._namespace.get(full_name(PROGRESS))
        return bool(signal is not None and signal.receivers)

    def emit(self, event: str, process: Process) -> None:
        """Call every handler of `event` and of `*`; one that raises is logged."""
        for name in (full_name(event), ANY) if event != PROGRESS else (full_name(event),):
            signal = self._namespace.get(name)
            for receiver in list(signal.receivers_for(event)) if signal else ():
                try:
                    receiver(event, process=process)
                except Exception:
                    self._logger.exception("event handler failed", extra={"event": event, "job": str(process.id)})
