"""The documents of the jobs of a flow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler import DuplicateJobError, Flow, InvalidArgumentsError, InvalidFlowError, InvalidOptionError, Job, job
from taskscheduler.declarations.flows import previous
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.flows.membership import join_key
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions
from taskscheduler.operations.flows.plan import FlowPlan

NOW = datetime(2026, 3, 4, tzinfo=UTC)

FLOW = ObjectId()


class Plain(Job):
    name = "plan-plain"


class Typed(Job):
    name = "plan-typed"
    data: dict[str, int]


class Deduped(Job):
    name = "plan-deduped"
    dedupe = True


@job(name="plan-typed-function")
def typed(one: int, two: list[str]) -> None:
    """Takes what it names."""


def planned(flow: Flow) -> dict[str, dict[str, Any]]:
    return {document["label"]: document for document in FlowPlan(flow, JobOptions()).documents(FLOW, NOW)}


def test_a_root_waits_for_a_slot_and_a_dependent_for_its_join() -> None:
    flow = Flow("order")
    root = flow.add(Plain, label="root")
    flow.add(Plain, label="last", after=[root], at=timedelta(hours=1))
    first, last = planned(flow).values()
    assert (first["status"], first["at"], "blocked" in first) == (Status.WAITING, NOW, False)
    assert (last["status"], last["at"], last["parked_at"]) == (Status.POSTPONED, FAR, NOW + timedelta(hours=1))
    assert (last["after"], last["blocked"]) == (root.id, join_key(root.id))
    assert (first["joins"], first["open"]) == ([root.id], [root.id])
    assert (last["joins"], last["open"]) == ([FLOW], [FLOW])


def test_fields_that_hold_defaults_are_not_stored() -> None:
    flow = Flow("order")
    flow.add(Plain, after=[flow.add(Plain)])
    for document in planned(flow).values():
        assert document.keys().isdisjoint({"soft", "feeds", "on_failure", "inputs"})


def test_a_result_is_taken_from_a_job_that_comes_before_by_that() -> None:
    flow = Flow("order")
    fetch = flow.add(Plain, label="fetch")
    flow.add(Plain, {"a": [fetch.result, 1], "b": 2}, label="take", on_failure="skip")
    documents = planned(flow)
    assert documents["fetch"]["feeds"] is True
    assert documents["fetch"]["soft"] == documents["fetch"]["joins"]
    assert documents["take"]["data"] == {"a": [None, 1], "b": 2}
    assert documents["take"]["inputs"] == [{"path": ["a", 0], "job": fetch.id}]
    assert documents["take"]["on_failure"] == "skip"


def test_the_other_data_are_checked_although_a_result_is_not_known() -> None:
    flow = Flow("order")
    fetch = flow.add(Plain)
    flow.add(typed, {"one": fetch.result, "two": [fetch.result, 3]}, label="wrong")
    with pytest.raises(InvalidArgumentsError, match=r"'wrong'.*argument two\[1\] must be str, not int"):
        planned(flow)
    flow = Flow("order")
    flow.add(Typed, {"one": flow.add(Plain).result, "two": "x"}, label="wrong")
    with pytest.raises(InvalidArgumentsError, match=r"'wrong'.*data.two must be int, not str"):
        planned(flow)


def test_an_argument_that_is_not_known_is_found_although_a_result_is_not_known() -> None:
    flow = Flow("order")
    flow.add(typed, {"one": flow.add(Plain).result, "tow": []})
    with pytest.raises(InvalidArgumentsError, match="argument two is missing"):
        planned(flow)


def test_a_circle_is_refused_and_named() -> None:
    flow = Flow("order")
    one = flow.add(Plain, label="one")
    two = flow.add(Plain, label="two", after=[one])
    one.after(two)
    with pytest.raises(
        InvalidFlowError, match=r"come after each other in a circle: (one -> two -> one|two -> one -> two)"
    ):
        FlowPlan(flow, JobOptions())


def test_a_flow_has_jobs() -> None:
    with pytest.raises(InvalidFlowError, match="flow 'order' has no jobs"):
        FlowPlan(Flow("order"), JobOptions())


def test_two_jobs_do_not_get_the_same_id() -> None:
    flow, job_id = Flow("order"), ObjectId()
    flow.add(Plain, id=job_id)
    flow.add(Plain, id=job_id)
    with pytest.raises(DuplicateJobError, match=str(job_id)):
        FlowPlan(flow, JobOptions())


def test_a_policy_of_a_job_that_comes_first_means_nothing() -> None:
    flow = Flow("order")
    flow.add(Plain, on_failure="run")
    with pytest.raises(InvalidFlowError, match="comes after no other, so on_failure='run' means nothing"):
        FlowPlan(flow, JobOptions())


def test_an_option_of_a_class_that_does_not_go_with_a_flow_is_refused_unless_it_is_overridden() -> None:
    flow = Flow("order")
    flow.add(Deduped)
    with pytest.raises(InvalidOptionError, match="add it with dedupe=False"):
        FlowPlan(flow, JobOptions())
    flow = Flow("order")
    flow.add(Deduped, dedupe=False)
    FlowPlan(flow, JobOptions())


def test_the_place_of_a_chain_means_nothing_elsewhere() -> None:
    flow = Flow("order")
    flow.add(Plain, [previous], after=[flow.add(Plain)])
    with pytest.raises(InvalidFlowError, match="it has a meaning in chain"):
        FlowPlan(flow, JobOptions())


def test_a_start_that_is_limited_in_seconds_is_so_from_when_others_have_ended() -> None:
    flow = Flow("order")
    root = flow.add(Plain, label="root", start_by=60)
    flow.add(Plain, label="last", after=[root], start_by=60)
    flow.add(Plain, label="dated", after=[root], start_by=NOW + timedelta(days=1))
    documents = planned(flow)
    assert documents["root"]["expires"] == NOW + timedelta(seconds=60)
    assert "expires" not in documents["last"]
    assert documents["dated"]["expires"] == NOW + timedelta(days=1)


def test_jobs_under_controls_wait_for_those_later() -> None:
    flow = Flow("order")
    root = flow.add(Plain, label="root", limits="x")
    flow.add(Plain, label="last", after=[root], limits="x")
    documents = planned(flow)
    assert documents["root"]["blocked"] == "limit:x"
    assert (documents["last"]["blocked"], documents["last"]["parked_at"]) == (join_key(root.id), NOW)
