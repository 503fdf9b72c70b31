"""Waiting until the process of a cancelled job is gone: how long, and what is said when it stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler import InvalidStateError, Status
from taskscheduler.operations.termination import await_gone, await_killed
from taskscheduler.store import Store

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
BOOT = ObjectId()
_MOST_LOOKS = 100_000


class FakeClock:
    """A clock that moves only in pauses."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def pause(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds


class FakeStore:
    """One job, the node that ran it, and the time at which its process is gone."""

    def __init__(self, job: dict[str, Any], gone_at: float, node: dict[str, Any] | None) -> None:
        self.clock = FakeClock()
        self.jobs = self.nodes = self.places = self
        self.job, self.node = job, node
        self.over = False
        self.gone_at = gone_at
        self.looks = 0

    def is_held(self, job_id: ObjectId) -> bool:
        assert job_id == self.job["_id"]
        self.looks += 1
        assert self.looks < _MOST_LOOKS, "it waits for ever"
        return self.clock.seconds < self.gone_at

    def get(self, _job_id: ObjectId) -> dict[str, Any]:
        self.looks += 1
        assert self.looks < _MOST_LOOKS, "it waits for ever"
        claim = {"claim": "c"} if self.clock.seconds < self.gone_at else {}
        return {**self.job, **claim}

    def find(self, boot: ObjectId | None) -> dict[str, Any] | None:
        return self.node if boot == BOOT else None

    def is_over(self, _node: Any) -> bool:
        return self.over

    def await_killed(self) -> float:
        await_killed(cast(Store, self), self.job, self.clock)
        return self.clock.seconds

    def await_gone(self) -> float:
        await_gone(cast(Store, self), self.job["_id"], self.clock)
        return self.clock.seconds


NODE = {"name": "n1", "lease": 20, "grace": 2}
NEVER_GONE = 10**9


def a_job(**fields: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "status": int(Status.CANCELED), "attempt": 3, "boot": BOOT, "ended": NOON, **fields}


def a_solo_job(**fields: Any) -> dict[str, Any]:
    return a_job(claim="c", gate="key", gate_until=NOON + timedelta(seconds=35), **fields)


def a_service() -> dict[str, Any]:
    return a_job(service={"name": "feed", "stop_hard": 7})


# -- solo jobs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone_at", [0, 4, 40])
def test_a_solo_job_is_waited_for_until_its_lock_is_free(gone_at: float) -> None:
    assert FakeStore(a_solo_job(), gone_at, NODE).await_killed() == pytest.approx(gone_at, abs=0.05)


@pytest.mark.parametrize(
    ("lease", "until", "longest"),
    [(20, 35, 45), (60, 35, 70), (20, -5, 30)],
    ids=["the lock ends later", "the lease ends later", "the lock has ended"],
)
def test_a_lock_that_its_node_extends_for_ever_is_not_waited_for_beyond_lock_and_lease(
    lease: float, until: float, longest: float
) -> None:
    store = FakeStore(a_solo_job(), NEVER_GONE, {**NODE, "lease": lease})
    store.job["gate_until"] = NOON + timedelta(seconds=until)
    with pytest.raises(InvalidStateError, match=r"attempt 3 on node n1; end that process and try again"):
        store.await_killed()
    assert store.clock.seconds == pytest.approx(longest, abs=0.05)


def test_a_node_that_has_signed_off_is_named_as_the_job_knows_it() -> None:
    store = FakeStore(a_solo_job(node="old"), NEVER_GONE, None)
    with pytest.raises(InvalidStateError, match=rf"job {store.job['_id']} was cancelled.*attempt 3 on node old"):
        store.await_killed()
    assert store.clock.seconds == pytest.approx(45, abs=0.05)


def test_the_program_that_holds_a_lock_is_named() -> None:
    store = FakeStore(a_solo_job(program={"pid": 42, "host": "h"}), NEVER_GONE, None)
    with pytest.raises(InvalidStateError, match="pid 42 on h; end that process"):
        store.await_killed()


# -- services ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone_at", [0, 5])
def test_a_service_is_waited_for_until_its_node_says_that_it_is_gone(gone_at: float) -> None:
    assert FakeStore(a_service(), gone_at, NODE).await_killed() == pytest.approx(gone_at, abs=0.05)


def test_a_service_whose_process_stays_is_not_waited_for_beyond_its_stop_and_the_lease() -> None:
    store = FakeStore(a_service(), NEVER_GONE, NODE)
    with pytest.raises(InvalidStateError, match=r"service 'feed' was stopped.*attempt 3 on node n1; end that process"):
        store.await_gone()
    assert store.clock.seconds == pytest.approx(7 + 20 + 10, abs=0.05)


def test_a_service_whose_node_is_lost_is_gone() -> None:
    store = FakeStore(a_service(), NEVER_GONE, NODE)
    store.over = True
    assert store.await_gone() == 0
    assert FakeStore(a_service(), NEVER_GONE, None).await_gone() == 0


def test_for_any_other_job_there_is_nothing_to_wait_for() -> None:
    assert FakeStore(a_job(), NEVER_GONE, NODE).await_gone() == 0


# -- other jobs -------------------------------------------------------------------------------------------------------


def test_a_job_that_was_cancelled_while_it_ran_gets_the_time_in_which_its_worker_is_killed() -> None:
    assert FakeStore(a_job(claim="c"), NEVER_GONE, NODE).await_killed() == 3.5
    assert FakeStore(a_job(claim="c"), NEVER_GONE, None).await_killed() == 2.0  # of a node that is gone: the usual


@pytest.mark.parametrize(("ago", "left"), [(1, 2.5), (60, 0), (-60, 3.5)])
def test_only_the_rest_of_that_time_is_waited_for(ago: float, left: float) -> None:
    job = a_job(claim="c")
    job["ended"] -= timedelta(seconds=ago)
    assert FakeStore(job, NEVER_GONE, NODE).await_killed() == left


@table(
    ("fields", "waits"),
    [
        ({"status": int(Status.FAILED), "claim": "c"}, False),
        ({"status": int(Status.FAILED), "claim": "c", "error": {"type": "ChildJobError"}}, True),
        ({"status": int(Status.CANCELED)}, False),  # it never ran
        ({"status": int(Status.DONE), "claim": "c"}, False),
    ],
)
def test_a_job_that_ended_by_itself_is_not_waited_for(fields: dict[str, Any], waits: bool) -> None:
    assert (FakeStore(a_job(**fields), NEVER_GONE, NODE).await_killed() > 0) == waits
