"""Quick ends are divided into groups so that each is about as exact as one that is written by itself."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.metrics.counts import Series
from taskscheduler.store.attempts.quick_end import QuickEnd, alike
from taskscheduler.store.completions import share_times
from taskscheduler.store.fence import Fence

_MB = 1024 * 1024


def end(began: float = 100.0, lasted: float = 0.001, **fields: Any) -> QuickEnd:
    fence = Fence(ObjectId(), fields.pop("claim", "c"), 1)
    given = {"worker": "w", "cpu": 0.001, "peak_memory": 30 * _MB, **fields}
    return QuickEnd(fence, began=began, lasted=lasted, series=Series("mail", "default"), wait=0.0, **given)


def member(joins: int = 1) -> Membership:
    ids = tuple(ObjectId() for _ in range(joins))
    return Membership(ObjectId(), ids, stored=joins)


def groups(ends: list[QuickEnd]) -> set[tuple[ObjectId, ...]]:
    return {tuple(group.ids) for group in alike(ends)}


@table(
    ("other", "joins"),
    [
        (end(100.009), True),
        (end(100.0101), False),
        (end(100.0, 0.0019), True),
        (end(100.0, 0.0021), False),
        (end(100.0, worker="v"), False),
        (end(100.0, claim="d"), False),
        (end(100.0, cpu=0.0019), True),
        (end(100.0, cpu=0.0021), False),
        (end(100.0, cpu=-1.0), False),
        (end(100.0, peak_memory=31 * _MB - 1), True),
        (end(100.0, peak_memory=31 * _MB), False),
        (end(100.0, peak_memory=0), False),
        (end(100.0, member=member()), False),
    ],
)
def test_ends_share_a_write_if_little_is_lost_by_that(other: QuickEnd, joins: bool) -> None:
    assert len(groups([end(), other])) == 1 + (not joins)


@table(("later", "joins"), [(0.0009, True), (0.0011, False)])
def test_those_of_longer_jobs_are_exact_to_the_millisecond(later: float, joins: bool) -> None:
    assert len(groups([end(100.0, 0.02), end(100.0 + later, 0.02)])) == 1 + (not joins)


@table(("joins", "together"), [(1, True), (2, False)])
def test_those_of_a_write_have_as_many_joins(joins: int, together: bool) -> None:
    one, other = end(member=member()), end(member=member(joins))
    assert len(groups([one, other])) == 1 + (not together)
    assert other.completion().member == other.member


_TIMES = st.integers(0, 60).map(lambda number: 100 + number / 1500)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_TIMES, st.sampled_from([0.0005, 0.0012, 0.0095, 0.0102]), st.booleans()), max_size=30))
def test_those_of_a_group_share_the_times_of_its_first(times: list[tuple[float, float, bool]]) -> None:
    ends = [end(began, lasted, worker="w" if first else "v") for began, lasted, first in times]
    known = {one.fence.job_id: one.completion() for one in ends}
    found = list(alike(ends))
    assert sorted(one for group in found for one in group.ids) == sorted(known)
    for group in found:
        first = known[group.ids[0]]
        assert group.first.completion() == first
        assert all(share_times(first, known[one]) and known[one].worker == first.worker for one in group.ids)
