"""A node that connects hears signals, and loses none that is not for the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.eventually import eventually

from taskscheduler import DatabaseUnavailableError
from taskscheduler_daemon.node.connecting import open_store
from taskscheduler_daemon.system.signal_pipe import SignalPipe

NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD]


class SlowScheduler:
    """Connects when it is allowed to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.allowed, self.asked = threading.Event(), threading.Event()
        self._error = error

    @property
    def store(self) -> str:
        self.asked.set()
        assert self.allowed.wait(30)
        if self._error is not None:
            raise self._error
        return "the store"


@pytest.fixture
def signals() -> Iterator[SignalPipe]:
    pipe = SignalPipe(NUMBERS)
    yield pipe
    pipe.close()


def after(scheduler: SlowScheduler, *numbers: int, allow: bool = True) -> threading.Thread:
    """Sends signals while the scheduler connects, and then perhaps lets it."""

    def act() -> None:
        assert scheduler.asked.wait(30)
        for number in numbers:
            os.kill(os.getpid(), number)
        if allow:
            scheduler.allowed.set()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_heard_before_a_server_answers(signals: SignalPipe, number: int) -> None:
    scheduler: Any = SlowScheduler()
    thread = after(scheduler, number, allow=False)
    assert open_store(scheduler, signals) is None
    scheduler.allowed.set()
    thread.join()


def test_a_stop_that_came_before_begins_nothing(signals: SignalPipe) -> None:
    scheduler: Any = SlowScheduler()
    scheduler.allowed.set()
    signals.send(signal.SIGTERM)
    assert open_store(scheduler, signals) is None


def test_other_signals_can_be_read_afterwards(signals: SignalPipe) -> None:
    """The end of the manager must be seen by the session that follows."""
    scheduler: Any = SlowScheduler()
    thread = after(scheduler, signal.SIGCHLD, signal.SIGHUP)
    opened: Any = open_store(scheduler, signals)
    assert opened == "the store"
    thread.join()
    heard: list[int] = []

    def both() -> bool:
        heard.extend(signals.read())
        return {signal.SIGCHLD, signal.SIGHUP} <= set(heard)

    eventually(both, 30, "both signals")


@pytest.mark.parametrize("error", [DatabaseUnavailableError("away"), SystemExit(3)])
def test_an_error_is_raised_in_the_main_thread(signals: SignalPipe, error: BaseException) -> None:
    scheduler: Any = SlowScheduler(error)
    thread = after(scheduler)
    with pytest.raises(type(error)):
        open_store(scheduler, signals)
    thread.join()
