"""What becomes of attempts that are cancelled while messages cross each other."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.state.in_flight import Attempt, Ledger


class Surroundings:
    """A clock that only we move, a manager that notes what it is told, and a database that is told of solo jobs."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.handed: list[bytes] = []
        self.canceled: list[ObjectId] = []
        self.held: list[Fence] = []
        self.over: list[Fence] = []

    def monotonic(self) -> float:
        return self.now

    def dispatch(self, runs: Any) -> None:
        self.handed += [run.job_id for run in runs]

    def cancel(self, ids: list[ObjectId]) -> None:
        self.canceled += ids

    def store(self) -> Any:
        locks = SimpleNamespace(extend=lambda fence, _: self.held.append(fence), release=self.over.append)
        return SimpleNamespace(solo_locks=locks)


class Crossing(Ledger):
    """At the moment in which an attempt is taken from it, the manager says that nothing is left of it."""

    departures: ExclusiveLocks

    def take(self, job_id: bytes, attempt: int) -> Attempt | None:
        taken = super().take(job_id, attempt)
        self.departures.release(job_id, attempt)
        return taken


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


def custody(around: Surroundings, ledger: Ledger, departures: ExclusiveLocks) -> Dispatcher:
    fake = cast(Any, around)
    return Dispatcher(ledger, departures, fake, cast(Any, None), 3, fake)


def attempt(**more: Any) -> Attempt:
    job = {"options": {"force_spawn": False, "timeout": 0}, **more}
    return Attempt(Fence(ObjectId(), "claim", 1), job, b"", 0.0)


def test_a_solo_job_that_is_gone_while_it_is_cancelled_does_not_keep_its_turn_for_ever(around: Surroundings) -> None:
    ledger, solo = Crossing(), attempt(solo="key")
    ledger.departures = ExclusiveLocks(around.store(), 30)
    ledger.add([solo])
    custody(around, ledger, ledger.departures).cancel([solo.fence.job_id])
    assert around.over == [solo.fence]
    before = len(around.held)
    ledger.departures.extend_all()
    assert len(around.held) == before


def test_one_that_has_ended_before_it_is_not_waited_for(around: Surroundings) -> None:
    departures, solo = ExclusiveLocks(around.store(), 30), attempt(solo="key")

    class Ended(Ledger):
        def take(self, job_id: bytes, attempt: int) -> Attempt | None:
            if super().take(job_id, attempt) is not None:
                departures.release_after_end(solo)  # the main loop was faster
            return None

    ledger = Ended()
    ledger.add([solo])
    custody(around, ledger, departures).cancel([solo.fence.job_id])
    assert around.canceled == []
    assert around.over == [solo.fence]
    before = len(around.held)
    departures.extend_all()
    assert len(around.held) == before


def test_a_job_that_was_cancelled_while_it_was_claimed_is_not_handed_on_but_later_it_is(around: Surroundings) -> None:
    """It was put back to the queue, of which a node with a backlog hears nothing."""
    ledger, departures, again = Ledger(), ExclusiveLocks(around.store(), 30), attempt()
    keeper = custody(around, ledger, departures)
    keeper.cancel([again.fence.job_id])
    ledger.add([again])
    keeper.dispatch([again])
    assert (around.handed, len(ledger)) == ([], 0)
    around.now += 10
    ledger.add([again])
    keeper.dispatch([again])
    assert around.handed == [again.fence.job_id.binary]
    assert len(ledger) == 1


def test_many_threads_may_hear_of_cancellations_at_once(around: Surroundings) -> None:
    keeper = custody(around, Ledger(), ExclusiveLocks(around.store(), 30))
    ids = [ObjectId() for _ in range(1000)]

    def hear(number: int) -> None:
        for turn in range(100):
            keeper.cancel(ids[number :: turn % 7 + 1])
            keeper.allow_again(ids[number::2])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(hear, range(4)))
    finally:
        sys.setswitchinterval(before)
