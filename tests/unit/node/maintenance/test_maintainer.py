"""Each duty runs when it is due, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from unittest.mock import Mock

import pytest
from pymongo.errors import AutoReconnect, OperationFailure
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeClock, FakeStore, Threads, lease

from taskscheduler.clock import NEVER, SYSTEM_CLOCK, Clock
from taskscheduler.store.schema import Found
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.maintenance.maintainer import Maintainer
from taskscheduler_daemon.node.maintenance.schema_keeper import SchemaKeeper


class PassingTime(threading.Event, FakeClock):
    """A clock, and the event that a maintainer waits on: each wait takes as long as it may."""

    def __init__(self) -> None:
        threading.Event.__init__(self)
        FakeClock.__init__(self, 0.0)

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0.0
        return False


class Task(Duty):
    """A duty that notes when it ran, and fails as it is told."""

    def __init__(self, clock: Clock, polls: float = 1, error: Exception | None = None) -> None:
        super().__init__(lease(), polls)
        self.ran: list[float] = []
        self.stopped = False
        self.wanted_at = NEVER
        self.at_run: Callable[[], None] = lambda: None
        self._clock = clock
        self._error = error

    @property
    def next_at(self) -> float:
        return self.wanted_at

    def run(self) -> None:
        self.ran.append(self._clock.monotonic())
        self.at_run()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self.stopped = True


NOTHING = Found({}, {}, frozenset())


@pytest.fixture(autouse=True)
def ensured(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Takes the place of what creates collections and indexes."""
    ensure = Mock(return_value=NOTHING)
    monkeypatch.setattr("taskscheduler_daemon.node.maintenance.schema_keeper.ensure", ensure)
    return ensure


def schema() -> SchemaKeeper:
    return SchemaKeeper(FakeStore().store, lease())


def played(time: PassingTime, *duties: Task, until: float) -> Threads:
    """Lets a maintainer work until then, in time that passes only while it waits."""
    threads = Threads()
    maintainer = Maintainer(schema(), duties, time, time, threads)
    last = Task(time)
    maintainer._duties += (last,)
    maintainer._due.append(0.0)

    def end() -> None:
        if time.seconds >= until:
            maintainer._stopped.set()

    last.at_run = end
    maintainer._loop()
    return threads


def gaps(duty: Task) -> list[float]:
    return [after - before for before, after in zip(duty.ran, duty.ran[1:], strict=False)]


def test_each_duty_runs_at_its_own_interval_give_or_take_a_quarter() -> None:
    time = PassingTime()
    often, rarely = Task(time), Task(time, polls=2)
    played(time, often, rarely, until=400)
    assert (often.ran[0], rarely.ran[0]) == (0.0, 0.0)
    for duty, polls in ((often, 1), (rarely, 2)):
        assert all(1.5 * polls <= gap <= 2.5 * polls for gap in gaps(duty))
        assert max(gaps(duty)) - min(gaps(duty)) > 0.5 * polls, "nodes must not march in step"


def test_a_duty_that_found_out_when_to_run_again_runs_then() -> None:
    time = PassingTime()
    rarely = Task(time, polls=50)
    rarely.at_run = lambda: setattr(rarely, "wanted_at", time.seconds + 0.25 if len(rarely.ran) < 5 else NEVER)
    played(time, rarely, until=20)
    assert rarely.ran == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_fault_of_one_duty_stops_no_other_and_is_not_repeated_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    time = PassingTime()
    broken, healthy = Task(time, error=AutoReconnect("cut")), Task(time)
    threads = played(time, broken, healthy, until=100)
    assert all(gap >= 1.5 for gap in gaps(broken))
    assert len(healthy.ran) >= 100 / 2.5
    assert len(broken.ran) >= 100 / 2.5
    assert "maintenance failed" in caplog.text
    assert not threads.crashed.is_set()


def test_an_unexpected_exception_stops_no_other_duty_and_is_met_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = PassingTime()
    broken, healthy = Task(time, error=TypeError("a document")), Task(time)
    threads = played(time, broken, healthy, until=400)
    assert [gap > 2.5 * 2**number for number, gap in enumerate(gaps(broken)[:4])] == [True] * 4
    assert len(broken.ran) < 15
    assert len(healthy.ran) >= 400 / 2.5
    assert "maintenance failed unexpectedly" in caplog.text
    assert not threads.crashed.is_set()


def test_a_duty_that_recovers_runs_as_often_as_before() -> None:
    time = PassingTime()
    task = Task(time)

    def fail_twice() -> None:
        if len(task.ran) < 3:
            raise TypeError("a document")

    task.at_run = fail_twice
    played(time, task, until=60)
    assert all(gap <= 2.5 for gap in gaps(task)[2:])


def test_a_rejected_command_has_the_schema_ensured_at_the_next_look(ensured: Mock) -> None:
    time = PassingTime()
    task = Task(time)

    def reject_once() -> None:
        if len(task.ran) == 2:
            raise OperationFailure("hint provided does not correspond to an existing index")

    task.at_run = reject_once
    played(time, task, until=20)
    assert ensured.call_count == 1


def test_it_is_tried_again_when_the_connection_was_cut_meanwhile(ensured: Mock) -> None:
    time = PassingTime()
    task = Task(time)

    def reject_once() -> None:
        if len(task.ran) == 1:
            raise OperationFailure("hint provided does not correspond to an existing index")

    task.at_run = reject_once
    ensured.side_effect = [AutoReconnect("cut"), NOTHING]
    played(time, task, until=20)
    assert ensured.call_count == 2


def test_a_cut_connection_is_no_reason_to_look_at_the_schema(ensured: Mock) -> None:
    time = PassingTime()
    played(time, Task(time, error=AutoReconnect("cut")), until=20)
    assert ensured.call_count == 0


def test_an_index_that_cannot_be_made_is_tried_for_at_each_sweep_and_not_all_the_time(ensured: Mock) -> None:
    time = PassingTime()
    refusal = OperationFailure("not authorized")
    ensured.side_effect = refusal
    played(time, Task(time, error=refusal), until=30)
    assert 30 / 2.5 - 1 <= ensured.call_count <= 30 / 1.5


def test_the_schema_is_looked_at_now_and_then(ensured: Mock) -> None:
    time = PassingTime()
    played(time, until=300)
    assert 300 / 75 - 1 <= ensured.call_count <= 300 / 45


def test_jobs_that_are_due_without_end_do_not_keep_a_node_from_its_sweeps() -> None:
    """Lost nodes are found by these, and the locks of cancelled jobs are extended."""
    urgent, sweep = Task(SYSTEM_CLOCK), Task(SYSTEM_CLOCK, polls=0.05)
    urgent.wanted_at = float("-inf")
    maintainer = Maintainer(schema(), [sweep, urgent], threading.Event(), SYSTEM_CLOCK, Threads())
    maintainer.start()
    try:
        eventually(lambda: len(sweep.ran) >= 3)
    finally:
        maintainer.stop()
    assert len(urgent.ran) > len(sweep.ran)


def test_a_duty_that_wants_to_run_wakes_the_maintainer() -> None:
    wake, task = threading.Event(), Task(SYSTEM_CLOCK, polls=1000)
    task.at_run = lambda: setattr(task, "wanted_at", NEVER)
    maintainer = Maintainer(schema(), [task], wake, SYSTEM_CLOCK, Threads())
    maintainer.start()
    try:
        eventually(lambda: len(task.ran) == 1)
        task.wanted_at = float("-inf")
        wake.set()
        eventually(lambda: len(task.ran) == 2)
    finally:
        maintainer.stop()
    assert task.stopped


def test_a_maintainer_that_was_never_started_can_be_stopped() -> None:
    Maintainer(schema(), [], threading.Event(), SYSTEM_CLOCK, Threads()).stop()
