"""A crash of a thread of a session is logged and reported."""

from __future__ import annotations

import threading

import pytest

from taskscheduler_daemon.system.threads import SessionThreads, join


def test_a_crash_is_logged_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    crashed = threading.Event()

    def work() -> None:
        raise UnboundLocalError("a bug")

    thread = SessionThreads(crashed.set).start("care", work)
    thread.join(10)
    assert crashed.is_set()
    assert "a bug" in caplog.text
    assert thread.name == "taskscheduler-care"


def test_a_thread_that_ends_by_itself_is_no_crash() -> None:
    crashed, worked = threading.Event(), threading.Event()
    thread = SessionThreads(crashed.set).start("care", worked.set)
    join(thread)
    assert not thread.is_alive()
    assert worked.is_set()
    assert not crashed.is_set()


def test_a_thread_that_was_never_started_is_not_waited_for() -> None:
    join(None)
