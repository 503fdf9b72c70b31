"""Whatever a node has seen, it never claims more than its caps allow."""

from __future__ import annotations

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.node.state.lease import Lease

MORE = settings(max_examples=150, deadline=None)
MOST_AHEAD, FIRST_BATCH = 3000, 1000
JOBS = [RawBSONDocument(bson.encode({"options": {"force_spawn": forced}})) for forced in (False, True)]


def attempt(job_id: ObjectId, number: int = 1, forced: bool = False) -> Attempt:
    return Attempt(Fence(job_id, "c", number), JOBS[forced], bytes(JOBS[forced].raw), 0.0)


def node() -> tuple[InFlight, Capacity]:
    in_flight = InFlight()
    return in_flight, Capacity(in_flight, Lease(30.0, SYSTEM_CLOCK), 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("learn"), st.floats(1e-7, 1e4)),
        st.tuples(st.just("burst"), st.integers(1, 3000)),
        st.tuples(st.just("rate"), st.floats(0, 5)),
        st.tuples(st.just("slots"), st.integers(0, 64)),
        st.tuples(st.just("stalled"), st.just(0)),
    ),
    max_size=30,
)


@MORE
@given(STEPS, st.integers(0, 200))
def test_the_target_and_the_room_never_exceed_their_caps(steps: list[tuple[str, float]], held: int) -> None:
    (in_flight, capacity), now, rated = node(), 0.0, False
    in_flight.add(attempt(ObjectId()) for _ in range(held))
    in_flight.add(attempt(ObjectId(), forced=True) for _ in range(held % 7))
    for step, value in steps:
        if step == "learn":
            capacity.speed.learn(value)
        elif step == "burst":
            for _ in range(int(value)):
                capacity.speed.learn(1e-5)
        elif step == "rate":
            now += value
            capacity.speed.rate(now)
            rated = True
        elif step == "slots":
            capacity.set_slots(int(value))
        else:
            capacity.ended(attempt(ObjectId()), Ending.UNSTARTED, 0.0)
        target, room = capacity.target(), capacity.room()
        assert capacity.slots <= target <= capacity.slots + (MOST_AHEAD if rated else FIRST_BATCH)
        assert capacity.slots or target == 0
        assert 0 <= room <= max(0, target - held)


@MORE
@given(st.floats(1e-7, 1e3), st.integers(1, 64))
def test_what_is_claimed_ahead_can_start_within_a_tenth_of_a_second(seconds: float, slots: int) -> None:
    _, capacity = node()
    capacity.set_slots(slots)
    capacity.speed.learn(seconds)
    ahead = capacity.target() - slots
    assert ahead * seconds <= 0.1 * slots * (1 + 1e-9)
