"""Ends that arrive while others run share a write."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.metrics.counts import Series
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import DONE, QuickEnd
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.completion.gathering_ends import Kind, kind_of, quiet_steps, steps_to_wait


def end(of_flow: bool, seconds: float) -> Completion:
    member = Membership(ObjectId(), (ObjectId(),)) if of_flow else None
    return Completion(Fence(ObjectId(), "claim", 1), DONE, "worker", member=member, began=100.0, ended=100.0 + seconds)


def quick_end(one: Completion) -> QuickEnd:
    lasted, series = one.ended - one.began, Series("mail", "default")
    return QuickEnd(one.fence, "worker", one.began, lasted, 0.001, 0, series, 0.0, one.member)


@table(("ends", "running", "steps"), [(1, 0, 0), (1, 7, 0), (1, 8, 2), (63, 8, 2), (64, 1, 10), (64, 0, 0)])
def test_more_ends_are_waited_for_only_while_jobs_run(ends: int, running: int, steps: int) -> None:
    assert steps_to_wait(ends, running, Kind.ALONE) == steps


@table(("ends", "running", "steps"), [(1, 0, 0), (1, 7, 0), (1, 8, 10), (8, 7, 2), (7, 7, 0), (8, 0, 0)])
def test_more_ends_of_a_flow_are_waited_for_while_many_of_its_jobs_run(ends: int, running: int, steps: int) -> None:
    assert steps_to_wait(ends, running, Kind.OF_FLOWS) == steps


@table(("ends", "running", "steps"), [(1, 0, 0), (1, 7, 0), (1, 8, 25), (64, 1, 25), (8, 7, 2), (8, 0, 0)])
def test_a_layer_of_quick_jobs_is_waited_for_longer(ends: int, running: int, steps: int) -> None:
    assert steps_to_wait(ends, running, Kind.QUICK) == steps


@table(
    ("ends", "kind"),
    [
        ([], Kind.ALONE),
        ([end(False, 0.001)], Kind.ALONE),
        ([end(True, 0.02)], Kind.OF_FLOWS),
        ([end(True, 0.001)], Kind.QUICK),
        ([end(True, 0.001), end(False, 0.02)], Kind.OF_FLOWS),
        ([end(False, 0.001), end(True, 0.001)], Kind.QUICK),
    ],
)
def test_the_ends_of_a_flow_are_quick_if_all_of_them_are(ends: Sequence[Completion], kind: Kind) -> None:
    quick = [quick_end(one) for one in ends]
    assert [kind_of(ends), kind_of([], quick), kind_of(ends[:1], quick[1:])] == [kind] * 3


@table(
    ("kind", "ends", "running", "steps"),
    [
        (Kind.ALONE, 1, 100, 1),
        (Kind.OF_FLOWS, 1, 100, 2),
        (Kind.OF_FLOWS, 99, 1, 2),
        (Kind.QUICK, 49, 51, 6),
        (Kind.QUICK, 50, 50, 3),
        (Kind.QUICK, 99, 1, 3),
    ],
)
def test_a_pause_of_the_workers_does_not_part_quick_jobs_of_flows(
    kind: Kind, ends: int, running: int, steps: int
) -> None:
    assert quiet_steps(ends, running, kind) == steps
