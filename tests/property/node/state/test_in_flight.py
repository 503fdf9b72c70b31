"""Whatever a node has seen, it never claims more than its caps allow."""

from __future__ import annotations

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st

from taskscheduler.model.schedules import successor_id
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.state.in_flight import Attempt, Ledger

MORE = settings(max_examples=150, deadline=None)
MOST_AHEAD, FIRST_BATCH = 3000, 1000
JOBS = [RawBSONDocument(bson.encode({"options": {"force_spawn": forced}})) for forced in (False, True)]


def attempt(job_id: ObjectId, number: int = 1, forced: bool = False) -> Attempt:
    return Attempt(Fence(job_id, "c", number), JOBS[forced], bytes(JOBS[forced].raw), 0.0)


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
    ledger, now, rated = Ledger(), 0.0, False
    ledger.add(attempt(ObjectId()) for _ in range(held))
    ledger.add(attempt(ObjectId(), forced=True) for _ in range(held % 7))
    for step, value in steps:
        if step == "learn":
            ledger.learn(value)
        elif step == "burst":
            for _ in range(int(value)):
                ledger.learn(1e-5)
        elif step == "rate":
            now += value
            ledger.rate(now)
            rated = True
        elif step == "slots":
            ledger.set_slots(int(value))
        else:
            ledger.stalled()
        target, room = ledger.target(), ledger.room()
        assert ledger.slots <= target <= ledger.slots + (MOST_AHEAD if rated else FIRST_BATCH)
        assert ledger.slots or target == 0
        assert 0 <= room <= max(0, target - held)


@MORE
@given(st.floats(1e-7, 1e3), st.integers(1, 64))
def test_what_is_claimed_ahead_can_start_within_a_tenth_of_a_second(seconds: float, slots: int) -> None:
    ledger = Ledger()
    ledger.set_slots(slots)
    ledger.learn(seconds)
    ahead = ledger.target() - slots
    assert ahead * seconds <= 0.1 * slots * (1 + 1e-9)


@MORE
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=40))
def test_an_attempt_is_held_once_and_taken_once(steps: list[tuple[int, int]]) -> None:
    ids = [ObjectId() for _ in range(5)]
    ledger, mirror = Ledger(), dict[bytes, int]()
    for which, number in steps:
        job_id = ids[which].binary
        if job_id in mirror:
            taken = ledger.take(job_id, number)
            assert (taken is not None) == (mirror[job_id] == number)
            if taken is not None:
                del mirror[job_id]
        else:
            ledger.add([attempt(ids[which], number)])
            mirror[job_id] = number
        assert len(ledger) == len(mirror)
    assert {one.fence.job_id.binary for one in ledger.clear()} == set(mirror)


@MORE
@given(
    st.sets(st.tuples(st.binary(min_size=12, max_size=12), st.integers(0, 2**40)), min_size=2, max_size=40),
    st.binary(min_size=12, max_size=12),
)
def test_runs_of_series_have_ids_of_their_own(runs: set[tuple[bytes, int]], planned: bytes) -> None:
    ids = [successor_id(ObjectId(series), seq, ObjectId(planned)) for series, seq in runs]
    assert len(set(ids)) == len(runs)
    assert {one.binary[:4] for one in ids} == {planned[:4]}
