"""An attempt is in flight once, and runs of series never share an id."""

from __future__ import annotations

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st

from taskscheduler.model.schedules import successor_id
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

MORE = settings(max_examples=150, deadline=None)
JOBS = [RawBSONDocument(bson.encode({"options": {"force_spawn": forced}})) for forced in (False, True)]


def attempt(job_id: ObjectId, number: int = 1, forced: bool = False) -> Attempt:
    return Attempt(Fence(job_id, "c", number), JOBS[forced], bytes(JOBS[forced].raw), 0.0)


@MORE
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=40))
def test_an_attempt_is_held_once_and_taken_once(steps: list[tuple[int, int]]) -> None:
    ids = [ObjectId() for _ in range(5)]
    in_flight, mirror = InFlight(), dict[bytes, int]()
    for which, number in steps:
        job_id = ids[which].binary
        if job_id in mirror:
            taken = in_flight.pop(job_id, number)
            assert (taken is not None) == (mirror[job_id] == number)
            if taken is not None:
                del mirror[job_id]
        else:
            in_flight.add([attempt(ids[which], number)])
            mirror[job_id] = number
        assert len(in_flight) == len(mirror)
    assert {one.fence.job_id.binary for one in in_flight.clear()} == set(mirror)


@MORE
@given(
    st.sets(st.tuples(st.binary(min_size=12, max_size=12), st.integers(0, 2**40)), min_size=2, max_size=40),
    st.binary(min_size=12, max_size=12),
)
def test_runs_of_series_have_ids_of_their_own(runs: set[tuple[bytes, int]], planned: bytes) -> None:
    ids = [successor_id(ObjectId(series), seq, ObjectId(planned)) for series, seq in runs]
    assert len(set(ids)) == len(runs)
    assert {one.binary[:4] for one in ids} == {planned[:4]}
