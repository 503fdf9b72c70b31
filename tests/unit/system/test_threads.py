"""A thread of a node that ends by an exception says so, and its node hears of it."""

from __future__ import annotations

import threading

import pytest

from taskscheduler_daemon.system.threads import duty


def test_a_crash_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()

    def work() -> None:
        raise UnboundLocalError("a bug")

    thread = duty("care", work, told.set)
    thread.start()
    thread.join(10)
    assert told.is_set()
    assert "a bug" in caplog.text


def test_a_thread_that_ends_by_itself_is_no_crash() -> None:
    told = threading.Event()
    thread = duty("care", lambda: None, told.set)
    thread.start()
    thread.join(10)
    assert not told.is_set()
