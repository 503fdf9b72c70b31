"""What becomes of attempts that are cancelled while messages cross each other."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.node.fakes import lease

from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight


class Surroundings:
    """A clock that only we move, a manager that notes what it is told, and a database that is told of solo jobs."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.dispatched: list[bytes] = []
        self.cancelled: list[ObjectId] = []
        self.extended: list[Fence] = []
        self.released: list[Fence] = []

    def monotonic(self) -> float:
        return self.now

    def dispatch(self, runs: Any) -> None:
        self.dispatched += [run.job_id for run in runs]

    def cancel(self, ids: list[ObjectId]) -> None:
        self.cancelled += ids

    def store(self) -> Any:
        locks = SimpleNamespace(extend=lambda fence, _: self.extended.append(fence), release=self.released.append)
        return SimpleNamespace(solo_locks=locks)


class Crossing(InFlight):
    """At the moment in which an attempt is taken from it, the manager says that nothing is left of it."""

    locks: ExclusiveLocks

    def pop(self, job_id: bytes, attempt: int) -> Attempt | None:
        popped = super().pop(job_id, attempt)
        self.locks.release(job_id, attempt)
        return popped


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


def dispatcher(around: Surroundings, in_flight: InFlight, locks: ExclusiveLocks) -> Dispatcher:
    fake = cast(Any, around)
    return Dispatcher(in_flight, locks, fake, cast(Any, None), fake)


def attempt(**more: Any) -> Attempt:
    job = {"options": {"force_spawn": False, "timeout": 0}, **more}
    return Attempt(Fence(ObjectId(), "claim", 1), job, b"", 0.0)


def test_a_solo_job_that_is_gone_while_it_is_cancelled_does_not_keep_its_turn_for_ever(around: Surroundings) -> None:
    in_flight, solo = Crossing(), attempt(solo="key")
    in_flight.locks = ExclusiveLocks(around.store(), lease())
    in_flight.add([solo])
    dispatcher(around, in_flight, in_flight.locks).cancel([solo.fence.job_id])
    assert around.released == [solo.fence]
    before = len(around.extended)
    in_flight.locks.extend_all()
    assert len(around.extended) == before


def test_one_that_has_ended_before_it_is_not_waited_for(around: Surroundings) -> None:
    locks, solo = ExclusiveLocks(around.store(), lease()), attempt(solo="key")

    class Ended(InFlight):
        def pop(self, job_id: bytes, attempt: int) -> Attempt | None:
            if super().pop(job_id, attempt) is not None:
                locks.release_after_end(solo)  # the main loop was faster
            return None

    in_flight = Ended()
    in_flight.add([solo])
    dispatcher(around, in_flight, locks).cancel([solo.fence.job_id])
    assert around.cancelled == []
    assert around.released == [solo.fence]
    before = len(around.extended)
    locks.extend_all()
    assert len(around.extended) == before


def test_a_job_that_was_cancelled_while_it_was_claimed_is_dispatched_only_later(
    around: Surroundings,
) -> None:
    """It was put back to the queue, of which a node with a backlog hears nothing."""
    in_flight, locks, again = InFlight(), ExclusiveLocks(around.store(), lease()), attempt()
    under_test = dispatcher(around, in_flight, locks)
    under_test.cancel([again.fence.job_id])
    in_flight.add([again])
    under_test.dispatch([again])
    assert (around.dispatched, len(in_flight)) == ([], 0)
    around.now += 10
    in_flight.add([again])
    under_test.dispatch([again])
    assert around.dispatched == [again.fence.job_id.binary]
    assert len(in_flight) == 1


def test_many_threads_may_hear_of_cancellations_at_once(around: Surroundings) -> None:
    under_test = dispatcher(around, InFlight(), ExclusiveLocks(around.store(), lease()))
    ids = [ObjectId() for _ in range(1000)]

    def hear(number: int) -> None:
        for turn in range(100):
            under_test.cancel(ids[number :: turn % 7 + 1])
            under_test.allow_again(ids[number::2])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(hear, range(4)))
    finally:
        sys.setswitchinterval(before)


class Ends:
    """A completer that notes the ends that it is to write."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []

    def completion_of(self, one: Attempt, report: Report) -> tuple[Fence, Ending, Any]:
        return one.fence, report.ending, report.content().get("error")

    def submit(self, completion: tuple[Fence, Ending, Any]) -> None:
        self.submitted.append(completion)


def test_an_attempt_that_the_manager_does_not_know_is_lost_and_cancelled(around: Surroundings) -> None:
    in_flight, ends, lost = InFlight(), Ends(), attempt()
    fake = cast(Any, around)
    under_test = Dispatcher(in_flight, ExclusiveLocks(around.store(), lease()), fake, cast(Any, ends), fake)
    under_test.missing(lost.fence)
    assert (ends.submitted, around.cancelled) == ([], []), "its end has arrived in the meantime"
    in_flight.add([lost])
    under_test.missing(lost.fence)
    error = {"type": "WorkerLostError", "message": "the worker manager lost track of the job"}
    assert ends.submitted == [(lost.fence, Ending.LOST, error)]
    assert (around.cancelled, len(in_flight)) == ([lost.fence.job_id], 0)


@pytest.mark.parametrize("ending", [Ending.LOST, Ending.RETURNED])
def test_everything_is_released_when_the_manager_is_gone(around: Surroundings, ending: Ending) -> None:
    in_flight, ends = InFlight(), Ends()
    cancelled, running = attempt(solo="key"), attempt(solo="other")
    locks, fake = ExclusiveLocks(around.store(), lease()), cast(Any, around)
    under_test = Dispatcher(in_flight, locks, fake, cast(Any, ends), fake)
    in_flight.add([cancelled, running])
    under_test.cancel([cancelled.fence.job_id])
    under_test.release_all(ending)
    assert [(fence, how, error is not None) for fence, how, error in ends.submitted] == [
        (running.fence, ending, ending is Ending.LOST)
    ]
    assert around.released == [cancelled.fence], "nobody runs it any more"
    locks.release_unknown(running.fence)
    assert around.released == [cancelled.fence, running.fence], "it may have been cancelled before its end was written"


def test_a_job_that_waits_again_may_be_dispatched_although_it_was_cancelled(around: Surroundings) -> None:
    in_flight, again = InFlight(), attempt()
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    under_test.cancel([again.fence.job_id])
    under_test.allow_again([again.fence.job_id, ObjectId()])
    in_flight.add([again])
    under_test.dispatch([again])
    assert around.dispatched == [again.fence.job_id.binary]
