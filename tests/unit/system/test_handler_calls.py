"""The calls that set handlers of signals count, whoever makes them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from signal import signal as imported_before
from typing import Any

import pytest

from taskscheduler_daemon.system.handler_calls import HandlerCalls

MODULE: Any = sys.modules["_signal"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlerCalls]:
    monkeypatch.setattr(MODULE, "signal", MODULE.signal)
    former = signal.getsignal(signal.SIGUSR2)
    yield HandlerCalls()
    signal.signal(signal.SIGUSR2, former)


def test_each_call_counts_and_sets_the_handler(calls: HandlerCalls) -> None:
    imported_before(signal.SIGUSR2, signal.SIG_IGN)
    assert (calls.count, signal.getsignal(signal.SIGUSR2)) == (1, signal.SIG_IGN)
    assert signal.signal(signal.SIGUSR2, signal.SIG_DFL) is signal.SIG_IGN
    assert calls.count == 2


def test_it_is_exact_where_calls_count(calls: HandlerCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls.is_exact()
    monkeypatch.setattr(MODULE, "signal", calls._set)
    assert not calls.is_exact()


def test_it_is_not_exact_where_handlers_cannot_be_set(calls: HandlerCalls) -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(calls.is_exact()))
    thread.start()
    thread.join()
    assert found == [False]
