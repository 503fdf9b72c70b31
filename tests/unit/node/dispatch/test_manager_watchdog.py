"""When a worker manager is killed: it hangs, or does not stop in time."""

from __future__ import annotations

import pytest
from tests.unit.node.fakes import FakeClock

from taskscheduler_daemon.node.dispatch.manager_watchdog import ManagerWatchdog


class Bench:
    """A watchdog, and whom it has killed."""

    def __init__(self, lease: float = 30.0) -> None:
        self.clock = FakeClock()
        self.killed: list[int] = []
        self.watchdog = ManagerWatchdog(4711, lease, self.clock)

    def check(self, later: float = 0.0) -> list[int]:
        self.clock.seconds += later
        self.watchdog.check()
        return self.killed


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr("taskscheduler_daemon.node.dispatch.manager_watchdog.kill_tree", bench.killed.append)
    return bench


def test_a_manager_that_does_not_answer_for_a_lease_is_killed_once(bench: Bench) -> None:
    bench.watchdog.heard(bench.clock.seconds)
    bench.watchdog.asked()
    assert bench.check(29.0) == []
    bench.watchdog.asked()  # again: the first question counts
    assert bench.check(1.5) == [4711]
    assert bench.check(100.0) == [4711]


def test_a_manager_that_answers_is_left_alone(bench: Bench) -> None:
    for _ in range(10):
        bench.watchdog.asked()
        bench.clock.seconds += 20.0
        bench.watchdog.heard(bench.clock.seconds)
        assert bench.check() == []


def test_a_manager_that_is_still_starting_owes_no_answer(bench: Bench) -> None:
    bench.watchdog.asked()
    assert bench.check(1000.0) == []
    assert not bench.watchdog.is_answering, "and it cannot be trusted to mention its attempts"


def test_it_is_trusted_while_it_answers_and_speaks(bench: Bench) -> None:
    def trusted() -> bool:
        return bench.watchdog.is_answering

    bench.watchdog.heard(bench.clock.seconds)
    assert trusted()
    bench.watchdog.asked()
    assert not trusted()
    bench.watchdog.heard(bench.clock.seconds)
    bench.clock.seconds += 30.0
    assert trusted()
    bench.clock.seconds += 0.1
    assert not trusted()


def test_a_short_lease_does_not_make_it_impatient() -> None:
    assert Bench(lease=1.0).watchdog.patience == 3.0


def test_a_manager_that_does_not_stop_in_time_is_killed(bench: Bench) -> None:
    bench.watchdog.kill_within(15.0)
    assert bench.watchdog.until_kill(at_most=60.0) == 15.0
    assert bench.watchdog.until_kill(at_most=0.1) == 0.1
    assert bench.check(14.9) == []
    assert bench.check(0.2) == [4711]
    assert bench.watchdog.until_kill(at_most=60.0) == 60.0


def test_a_second_signal_counts_whichever_is_noted_first(bench: Bench) -> None:
    bench.watchdog.kill_after(1.5)
    bench.watchdog.kill_within(15.0)
    assert bench.watchdog.until_kill(60.0) == 1.5
    bench.watchdog.kill_after(61.0)  # a long kill_grace
    assert bench.watchdog.until_kill(100.0) == 61.0
