"""Signals as numbers that a loop reads."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from taskscheduler_daemon.system.signal_pipe import SignalPipe


@pytest.fixture
def pipe() -> Iterator[SignalPipe]:
    pipe = SignalPipe([signal.SIGUSR1, signal.SIGUSR2])
    yield pipe
    pipe.close()


def test_signals_are_read_in_the_order_of_their_arrival_and_once(pipe: SignalPipe) -> None:
    for number in (signal.SIGUSR2, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    assert pipe.read() == [signal.SIGUSR2, signal.SIGUSR1]
    assert pipe.read() == []


def test_a_signal_that_the_parent_process_had_blocked_is_read_and_blocked_again_afterwards() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        pipe = SignalPipe([signal.SIGUSR1, signal.SIGUSR2])
        os.kill(os.getpid(), signal.SIGUSR1)
        assert pipe.read() == [signal.SIGUSR1]
        pipe.close()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGUSR1, signal.SIGUSR2} == {signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def test_another_thread_can_wake_the_loop(pipe: SignalPipe) -> None:
    threading.Thread(target=pipe.wake).start()
    assert select.select([pipe], [], [], 10)[0]
    assert pipe.read() == [0]


def test_a_full_pipe_loses_numbers_but_stays_readable(pipe: SignalPipe) -> None:
    for _ in range(70_000):
        pipe.send(1)
    assert pipe.read()


def test_former_handlers_are_restored_and_a_closed_pipe_ignores_what_is_sent() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    pipe = SignalPipe([signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) is not before
    pipe.close()
    assert signal.getsignal(signal.SIGUSR1) == before
    pipe.wake()
