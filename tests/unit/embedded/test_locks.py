"""The locks around one state directory, and how long a start may take."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from taskscheduler import EmbeddedServerError
from taskscheduler.embedded.locks import FileLock, StartTimeout


class Given(StartTimeout):
    """A start that somebody may give up, and whose error is found when it happens."""

    given_up = False
    log = "nothing yet"

    def is_pointless(self) -> bool:
        return self.given_up

    def failure(self) -> str:
        return f"too slow; log: {self.log}"


def test_a_start_that_takes_too_long_says_what_was_too_slow() -> None:
    with pytest.raises(EmbeddedServerError, match=r"^it still runs$"):
        StartTimeout(0, "it still runs").pause()


def test_the_error_is_found_when_the_time_is_over() -> None:
    timeout = Given(0)
    timeout.log = "disk full"
    with pytest.raises(EmbeddedServerError, match=r"^too slow; log: disk full$"):
        timeout.pause()


def test_a_start_that_nobody_waits_for_is_given_up_at_once() -> None:
    timeout = Given(60)
    timeout.pause(0.001)
    timeout.given_up = True
    with pytest.raises(EmbeddedServerError, match="the start was given up"):
        timeout.pause()


def test_a_pause_is_no_longer_than_the_time_that_is_left() -> None:
    begun, timeout = time.monotonic(), StartTimeout(0.05)
    assert 0 < timeout.remaining() <= 0.05
    timeout.pause(60)
    assert time.monotonic() - begun < 30
    assert timeout.remaining() == 0


def test_an_exclusive_lock_excludes_all_others_and_a_shared_one_only_exclusive_ones(tmp_path: Path) -> None:
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.try_exclusive()
    assert not second.try_shared()
    assert not second.try_exclusive()
    first.unlock()
    assert second.try_shared()
    assert third.try_shared()
    assert not third.try_exclusive()
    second.close()
    assert third.try_exclusive()
    third.close()


def test_who_waits_for_a_lock_gets_it_or_the_error(tmp_path: Path) -> None:
    held, wanted = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert held.try_exclusive()
    with pytest.raises(EmbeddedServerError, match="held by another"):
        wanted.wait_exclusive(StartTimeout(0.05, "held by another"))
    held.unlock()
    wanted.wait_exclusive(StartTimeout(0.05, "held by another"))
    wanted.close()


def test_a_lock_is_for_its_user_alone(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.close()
