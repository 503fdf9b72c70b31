"""How many more jobs a node claims."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.tables import table
from tests.unit.node.fakes import FakeClock, attempt, lease

from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Flag
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight


class Slots(Capacity):
    """A capacity with the attempts that it counts."""

    def __init__(self, max_jobs: int = 0, clock: FakeClock | None = None) -> None:
        self.in_flight, self.lease = InFlight(), lease(clock)
        super().__init__(self.in_flight, self.lease, max_jobs)


def test_nothing_is_claimed_before_there_are_slots() -> None:
    assert (Slots().target(), Slots().room()) == (0, 0)


def test_as_long_as_nothing_is_known_one_job_per_slot_is_claimed() -> None:
    capacity = Slots()
    capacity.set_slots(4)
    assert (capacity.target(), capacity.room()) == (4, 4)
    capacity.admit([attempt(), attempt(), attempt()])
    assert capacity.room() == 1
    capacity.admit([attempt()])
    assert capacity.room() == 0


def test_forced_jobs_take_no_slot() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    forced = [attempt(options={"force_spawn": True}) for _ in range(5)]
    capacity.admit(forced)
    assert (len(capacity.in_flight), capacity.room()) == (5, 2)
    capacity.admit([attempt(), attempt()])
    assert capacity.room() == 0
    for one in forced:
        capacity.in_flight.pop(one.fence.job_id.binary, 1)
    assert capacity.room() == 0
    capacity.in_flight.clear()
    assert capacity.room() == 2


def test_a_forced_job_that_is_claimed_again_before_its_end_is_counted_once() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    old = attempt(1, {"force_spawn": True})
    capacity.admit([old])
    capacity.admit([Attempt(Fence(old.fence.job_id, "other", 2), old.job, old.raw, 1.0)])
    assert capacity.in_flight.pop(old.fence.job_id.binary, 2) is not None
    assert (len(capacity.in_flight), capacity.room()) == (0, 2)


@table(("seconds", "target"), [(10.0, 2), (0.1, 4), (0.01, 22), (0.001, 202), (1e-6, 1002)])
def test_what_can_start_in_the_next_tenth_of_a_second_is_claimed_ahead(seconds: float, target: int) -> None:
    capacity = Slots()
    capacity.set_slots(2)
    capacity.speed.learn(seconds)
    assert capacity.target() == target


def test_the_measured_rate_allows_more_ahead_up_to_a_limit() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    capacity.speed.rate(now=0.0)
    for _ in range(1000):
        capacity.speed.learn(1e-5)
    capacity.speed.rate(now=0.05)  # too early to tell
    assert capacity.target() == 1002
    capacity.speed.rate(now=0.1)
    assert capacity.target() == 2 + 2000
    for _ in range(100_000):
        capacity.speed.learn(1e-5)
    capacity.speed.rate(now=0.3)
    assert capacity.target() == 2 + 3000


def test_room_is_reported_once_it_is_worth_a_claim() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    capacity.speed.learn(0.001)
    held = [attempt() for _ in range(202)]
    capacity.admit(held)
    assert capacity.room() == 0
    for one in held[:99]:
        capacity.in_flight.pop(one.fence.job_id.binary, 1)
    assert capacity.room() == 0
    capacity.in_flight.pop(held[99].fence.job_id.binary, 1)
    assert capacity.room() == 100


def test_a_stall_ends_claiming_ahead() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    capacity.speed.learn(0.0001)
    assert capacity.target() == 1002
    capacity.ended(attempt(), Ending.UNSTARTED, 0.0)
    assert capacity.target() <= 3


def async_attempt(options: dict[str, Any] | None = None) -> Attempt:
    return attempt(1, options, **{"async": True})


def crowded(count: int, slots: int = 2, each: int = 10) -> Slots:
    """The capacity of a node with so many slots and async attempts."""
    capacity = Slots()
    capacity.set_slots(slots, each)
    capacity.admit([async_attempt() for _ in range(count)])
    return capacity


def test_async_attempts_are_flagged_where_the_manager_has_room_for_them() -> None:
    capacity = Slots()
    capacity.set_slots(2, 10)
    marked, plain = async_attempt(), attempt()
    forced = async_attempt({"force_spawn": True})
    capacity.admit([marked, plain, forced])
    assert [one.run().flags for one in (marked, plain, forced)] == [Flag.ASYNC, Flag.NONE, Flag.FORCED]
    capacity.learn_async(str(plain.job["class"]))
    again = attempt()
    capacity.admit([again])
    assert again.run().flags == Flag.ASYNC
    capacity.set_slots(2, 0)
    one_per_worker = async_attempt()
    capacity.admit([one_per_worker])
    assert one_per_worker.run().flags == Flag.NONE


@table(
    ("held", "slots", "room", "async_room"),
    [
        (0, 2, 2, 10),  # nothing is known: one for each slot, and async ones in one worker
        (3, 2, 1, 7),  # one worker is theirs
        (10, 2, 1, 0),
        (12, 2, 1, 0),
        (10, 3, 2, 10),
        (15, 3, 1, 5),
        (10, 1, 1, 0),  # the only worker takes turns
        (0, 1, 1, 10),
    ],
)
def test_async_attempts_take_few_slots(held: int, slots: int, room: int, async_room: int) -> None:
    capacity = crowded(held, slots)
    assert (capacity.room(), capacity.async_room()) == (room, async_room)
    assert capacity.async_full == (held > 0 and held >= 10 * max(1, slots - 1))


def test_async_attempts_share_a_slot_and_forced_ones_take_none() -> None:
    capacity = crowded(3, 2)
    capacity.admit([attempt(options={"force_spawn": True})])
    assert (capacity.busy, len(capacity.in_flight)) == (1, 4)
    capacity.admit([attempt() for _ in range(5)])
    assert capacity.busy == 2, "some of them wait for a slot"
    assert [crowded(held, 1).busy for held in (0, 3)] == [0, 1]


def test_other_attempts_leave_no_worker_for_async_ones() -> None:
    capacity = crowded(0)
    capacity.admit([attempt()])
    assert capacity.async_room() == 10
    capacity.admit([attempt()])
    assert (capacity.room(), capacity.async_room()) == (0, 0)


def test_what_may_be_async_is_claimed_only_as_far_as_there_is_room_for_that() -> None:
    capacity = crowded(4)
    capacity.speed.learn(0.001)
    assert capacity.room() == 6
    assert capacity.room(asked=2) == 4
    full = crowded(10)
    full.speed.learn(0.001)
    assert full.room() > 50  # none of these will be async: they are passed over


def test_async_attempts_that_end_make_room_again() -> None:
    capacity = crowded(10)
    for one in capacity.in_flight.all()[:4]:
        capacity.in_flight.pop(one.fence.job_id.binary, 1)
    assert (capacity.async_room(), capacity.async_full) == (4, False)
    capacity.in_flight.clear()
    assert (capacity.room(), capacity.async_room(), capacity.has_async) == (2, 10, False)


# -- budget and lease -------------------------------------------------------------------------------------------------


def test_a_node_claims_no_more_than_its_budget() -> None:
    capacity = Slots(max_jobs=3)
    capacity.set_slots(10, 10, 16)
    assert (capacity.wanted(0), capacity.wanted(2), capacity.wanted_forced(), capacity.wanted_async()) == (3, 1, 3, 3)
    capacity.admit([attempt(), attempt()])
    assert (capacity.wanted(0), capacity.wanted(1), capacity.budget.is_exhausted) == (1, 0, False)
    capacity.admit([attempt()])
    assert (capacity.wanted(0), capacity.wanted_forced(), capacity.wanted_async()) == (0, 0, 0)
    assert capacity.budget.is_exhausted
    capacity.budget.refund(2)
    assert (capacity.wanted(0), capacity.budget.is_exhausted) == (2, False)


def test_without_a_budget_a_node_is_never_exhausted() -> None:
    capacity = Slots()
    capacity.set_slots(1, 0, 100)
    capacity.admit([attempt() for _ in range(100)])
    assert (capacity.budget.is_exhausted, capacity.wanted_forced(), capacity.wanted(0)) == (False, 32, 0)


def test_jobs_with_workers_of_their_own_have_a_limit_of_their_own() -> None:
    capacity = Slots()
    assert capacity.wanted_forced() == 0  # no manager has said how many it takes
    capacity.set_slots(2, 0, 3)
    forced = [attempt(options={"force_spawn": True}) for _ in range(2)]
    capacity.admit([*forced, attempt(), attempt()])
    assert (capacity.wanted_forced(), capacity.room()) == (1, 0)
    capacity.admit([attempt(options={"force_spawn": True})])
    assert capacity.wanted_forced() == 0
    capacity.in_flight.pop(forced[0].fence.job_id.binary, 1)
    assert capacity.wanted_forced() == 1
    capacity.in_flight.clear()
    assert capacity.wanted_forced() == 3


def test_at_most_a_thousand_jobs_are_claimed_at_once() -> None:
    capacity = Slots()
    capacity.set_slots(5000, 10)
    assert (capacity.wanted(0), capacity.wanted_async()) == (1000, 1000)


def test_nothing_is_claimed_without_a_lease() -> None:
    clock = FakeClock()
    capacity = Slots(clock=clock)
    capacity.set_slots(2, 10)
    capacity.lease.renewed(clock.seconds)
    assert (capacity.wanted(0), capacity.wanted_async(), capacity.has_lease) == (2, 10, True)
    clock.seconds += 27.0
    assert (capacity.wanted(0), capacity.wanted_async(), capacity.has_lease) == (0, 0, False)


def test_a_budget_is_spent_and_refunded_by_two_threads_at_once() -> None:
    capacity, rounds = Slots(max_jobs=10), 20_000
    one = attempt()

    def spend(_: int) -> None:
        capacity.admit([one])

    def refund(_: int) -> None:
        capacity.budget.refund(1)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda work: [work(n) for n in range(rounds)], [spend, refund]))
    assert not capacity.budget.is_exhausted
    capacity.admit([attempt() for _ in range(9)])
    assert not capacity.budget.is_exhausted
    capacity.admit([attempt()])
    assert capacity.budget.is_exhausted


def test_jobs_that_are_known_are_claimed_in_any_number_and_further_ahead() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    capacity.speed.learn(0.01)
    assert (capacity.target(), capacity.wanted(0, are_known=True)) == (22, 42)
    capacity.admit([attempt() for _ in range(21)])
    assert (capacity.room(), capacity.wanted(0, are_known=True), capacity.wanted(20, are_known=True)) == (0, 21, 1)
    capacity.admit([attempt() for _ in range(21)])
    assert capacity.wanted(0, are_known=True) == 0


def test_jobs_that_are_known_are_claimed_within_the_budget_and_the_lease() -> None:
    capacity = Slots(max_jobs=3)
    capacity.set_slots(4)
    assert capacity.wanted(1, are_known=True) == 2
    capacity.in_flight.closed = True
    assert capacity.wanted(0, are_known=True) == 0


def test_a_search_for_batches_looks_at_many_jobs() -> None:
    capacity = Slots()
    capacity.set_slots(2)
    assert capacity.batches.most(2, 0) == 2
    capacity.admit([attempt(batch={"size": 100, "wait": 0})])
    assert capacity.batches.most(2, 0) == 200
    assert capacity.batches.most(300, 0) == 300
    assert capacity.room() == 2, "what gathers takes no slot"


def test_a_batch_takes_no_more_jobs_than_the_budget_has() -> None:
    capacity = Slots(max_jobs=10)
    capacity.set_slots(2)
    capacity.admit([attempt(batch={"size": 100, "wait": 0})])
    assert (capacity.batches.wanted(99), capacity.batches.most(2, 4)) == (9, 5)
