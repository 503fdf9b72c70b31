"""Quick ends are divided into groups so that each is about as exact as one that is written by itself."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.metrics.counts import Series
from taskscheduler.store.attempts.alike import SLOT, alike
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import DONE, QuickEnd
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
    """The same however the ends are given."""
    found = {tuple(group.ids) for group in alike(ends)}
    others = [end.completion() for end in ends]
    assert {tuple(group.ids) for group in alike([], others)} == found
    assert {frozenset(group.ids) for group in alike(ends[:1], others[1:])} == {frozenset(ids) for ids in found}
    return found


def about_the_same(first: Completion, other: Completion) -> bool:
    """Whether both jobs began and ended at about the same time, and cost about as much."""
    took = [one.ended - one.began for one in (first, other)]
    within = SLOT if max(took) < SLOT else 0.001
    assert first.cost == other.cost
    return abs(other.began - first.began) < within and abs(took[1] - took[0]) < 0.001


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


def test_what_was_not_measured_is_not_taken_for_nothing() -> None:
    assert len(groups([end(cpu=0.0), end(cpu=-1.0)])) == 2


UNTIMED, HALF_TIMED = {"began": 0.0, "ended": 0.0}, {"began": 100.0, "ended": 0.0}


@table(
    ("one", "other", "joins"),
    [
        (UNTIMED, UNTIMED, True),
        (UNTIMED, {"began": 100.0, "ended": 100.001}, False),
        (HALF_TIMED, HALF_TIMED, True),
        (HALF_TIMED, {"began": 100.002, "ended": 0.0}, False),
        (HALF_TIMED, {"began": 100.0, "ended": 100.001}, False),
        (UNTIMED, HALF_TIMED, False),
        ({**UNTIMED, "batched": 3}, UNTIMED, False),
        ({**UNTIMED, "batched": 3}, {**UNTIMED, "batched": 3}, True),
        ({**UNTIMED, "worker": None}, UNTIMED, False),
    ],
)
def test_ends_of_which_less_is_known_share_a_write_too(one: dict[str, Any], other: dict[str, Any], joins: bool) -> None:
    given = [Completion(Fence(ObjectId(), "c", 1), DONE, **{"worker": "w", **fields}) for fields in (one, other)]
    found = list(alike([], given))
    assert len(found) == 1 + (not joins)
    assert [group.first for group in found] == given[: len(found)] or not joins


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
        assert group.first == first
        assert all(about_the_same(first, known[one]) and known[one].worker == first.worker for one in group.ids)
