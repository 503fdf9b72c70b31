"""Opens the store of a node in a thread, so that the node hears signals while no server answers."""

from __future__ import annotations

import signal
import threading

from taskscheduler.scheduler import Scheduler
from taskscheduler.store import Store
from taskscheduler_daemon.system.signal_pipe import SignalPipe

_LOOK_EVERY = 0.02  #: seconds between two looks for signals

_STOPS = {signal.SIGTERM, signal.SIGINT}


class _Opening(threading.Thread):
    """Opens the store of a scheduler; it may outlive a node that was asked to stop."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(name="ts-connecting", daemon=True)
        self._scheduler = scheduler
        self.store: Store | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.store = self._scheduler.store
        except BaseException as error:  # for the thread that waits
            self.error = error


def open_store(scheduler: Scheduler, signals: SignalPipe) -> Store | None:
    """Returns the store, or None if a signal has asked the node to stop, before or while it connected.

    Raises the errors of the database or the embedded server. Other signals that came meanwhile can be read afterwards.
    """
    opening, heard = _Opening(scheduler), list[int]()
    opening.start()
    connecting = True
    while connecting:
        opening.join(_LOOK_EVERY)
        connecting = opening.is_alive()
        heard += signals.read()
        if not _STOPS.isdisjoint(heard):
            return None
    for number in heard:
        signals.send(number)
    if opening.error is not None:
        raise opening.error
    return opening.store
