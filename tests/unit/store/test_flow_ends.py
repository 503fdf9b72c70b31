"""Of the ends of a layer, one stands for all when a node finds out what may begin now."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.lifecycle import Status
from taskscheduler.store.flows.effects import FlowEnd, one_for_all

FLOW, JOIN = ObjectId(), ObjectId()

SHARED = Membership(FLOW, (JOIN,), stored=1)


def end(member: Membership, status: Status = Status.DONE) -> FlowEnd:
    return FlowEnd(ObjectId(), status, member)


def alone() -> FlowEnd:
    """The end of a job of a chain, which has a join of its own."""
    job = ObjectId()
    return FlowEnd(job, Status.DONE, Membership(FLOW, (job,), stored=1))


def test_the_jobs_of_a_layer_mean_the_same() -> None:
    layer = [end(SHARED) for _ in range(5)]
    assert len(one_for_all(layer)) == 1
    assert one_for_all(layer)[0] in layer


def test_a_bad_end_among_them_means_something_else() -> None:
    bad = end(SHARED, Status.FAILED)
    found = one_for_all([end(SHARED), bad, end(SHARED)])
    assert {one.status for one in found} == {Status.DONE, Status.FAILED}
    assert bad in found


def test_each_job_of_chains_stands_for_itself() -> None:
    chains = [alone() for _ in range(3)]
    assert one_for_all([*chains, end(SHARED), end(SHARED)])[:3] == chains


def test_a_join_that_a_job_shares_with_others_under_its_own_id_is_not_complete_by_its_end() -> None:
    job = ObjectId()
    odd = Membership(FLOW, (job,), stored=1)  # as somebody may have stored it
    ends = [FlowEnd(job, Status.DONE, odd), end(odd)]
    assert len(one_for_all(ends)) == 2
