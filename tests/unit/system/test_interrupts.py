"""Signals that ask a foreground command for its end."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from taskscheduler_daemon.system.interrupts import InterruptibleQueue


def test_items_are_taken_in_their_order() -> None:
    items: InterruptibleQueue[int] = InterruptibleQueue()
    for number in range(3):
        items.put(number)
    assert items.take(0.0) == [0, 1, 2]
    assert items.take(0.0) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_sets_the_flag_and_ends_a_wait(number: signal.Signals) -> None:
    items: InterruptibleQueue[int] = InterruptibleQueue()
    before = signal.getsignal(number)
    with items.signals():
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
        timer.start()
        assert items.take(30.0) == []
        timer.join()
    assert items.ending
    assert signal.getsignal(number) == before


def test_a_signal_does_not_break_into_work_but_into_a_breakable_wait() -> None:
    items: InterruptibleQueue[int] = InterruptibleQueue()
    with items.signals():
        with pytest.raises(KeyboardInterrupt), items.breakable():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), items.breakable():
            raise AssertionError("the end was asked for before")


def test_a_command_that_was_started_by_nohup_keeps_ignoring_sighup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    items: InterruptibleQueue[int] = InterruptibleQueue()
    try:
        with items.signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert not items.ending
    finally:
        signal.signal(signal.SIGHUP, before)
