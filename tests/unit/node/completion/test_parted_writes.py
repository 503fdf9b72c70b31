"""While nothing runs, the ends of a layer are written in two parts at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.tables import table
from tests.unit.node.fakes import FakeStore

from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.metrics.counts import Series
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import DONE, QuickEnd
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.completion.parted_writes import PartedWrites


def ends(count: int, of_flow: bool = True) -> list[Completion]:
    member = Membership(ObjectId(), (ObjectId(),)) if of_flow else None
    return [
        Completion(Fence(ObjectId(), f"claim-{n % 3}", 1), DONE, f"worker-{n % 2}", member=member) for n in range(count)
    ]


def quick_ends(count: int, of_flow: bool = True) -> list[QuickEnd]:
    series = Series("mail", "default")
    return [
        QuickEnd(one.fence, one.worker or "", 100.0, 0.001, 0.001, 0, series, 0.0, one.member)
        for one in ends(count, of_flow)
    ]


@pytest.fixture
def fake() -> FakeStore:
    return FakeStore()


@pytest.fixture
def writes(fake: FakeStore) -> Iterator[PartedWrites]:
    writes = PartedWrites(fake.store)
    yield writes
    writes.close()


@table(
    ("count", "of_flow", "running", "batches"),
    [(32, True, 0, [16, 16]), (33, True, 0, [16, 17]), (31, True, 0, [31]), (32, True, 1, [32]), (32, False, 0, [32])],
)
def test_many_ends_of_flows_are_written_in_two_parts_while_nothing_runs(
    count: int, of_flow: bool, running: int, batches: list[int]
) -> None:
    fake = FakeStore()
    writes, given = PartedWrites(fake.store), ends(count, of_flow)
    assert writes.write(given, running) == count
    writes.close()
    assert sorted(fake.completions.batches) == batches
    assert sorted(one.fence.job_id for one in fake.completions.written) == sorted(one.fence.job_id for one in given)


@table(
    ("count", "of_flow", "running", "batches"),
    [(20, True, 0, [20, 20]), (15, True, 0, [30]), (20, True, 1, [40]), (20, False, 0, [40])],
)
def test_quick_ends_and_others_are_divided_alike(count: int, of_flow: bool, running: int, batches: list[int]) -> None:
    fake = FakeStore()
    writes, given, quick = PartedWrites(fake.store), ends(count, of_flow), quick_ends(count, of_flow)
    assert writes.write(given, running, quick) == 2 * count
    writes.close()
    assert fake.completions.batches == batches
    fences = [one.fence for one in given] + [one.fence for one in quick]
    assert sorted(one.fence for one in fake.completions.written) == sorted(fences)


def test_what_is_written_as_one_stays_in_one_part(fake: FakeStore, writes: PartedWrites) -> None:
    for given, quick in ((ends(60), []), ([], quick_ends(60))):
        writes.write(given, 0, quick)
        first, second = fake.completions.written[:30], fake.completions.written[30:]
        assert not {one.worker for one in first} & {one.worker for one in second}
        fake.completions.written.clear()


def test_a_refused_fence_is_not_counted(fake: FakeStore, writes: PartedWrites) -> None:
    given = ends(40)
    fake.completions.fenced = {given[0].fence.job_id, given[1].fence.job_id}
    assert writes.write(given, 0) == 38


@pytest.mark.parametrize("faults", [1, 2])
def test_a_part_that_fails_is_reported_once_the_other_is_done_and_may_be_written_again(
    fake: FakeStore, writes: PartedWrites, faults: int
) -> None:
    given = ends(40)
    fake.faults.fail("completions.write", *[AutoReconnect("cut")] * faults)
    with pytest.raises(AutoReconnect):
        writes.write(given, 0)
    assert fake.faults.calls.count("completions.write") == 2
    assert len(fake.completions.batches) == 2 - faults
    writes.write(given, 0)
    assert {one.fence.job_id for one in fake.completions.written} == {one.fence.job_id for one in given}
