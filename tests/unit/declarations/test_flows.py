"""Flows as programs describe them: jobs, labels, what comes after what, chains and groups."""

from __future__ import annotations

from typing import Any

import pytest

from taskscheduler import Flow, InvalidFlowError, InvalidOptionError, Job, call, chain, group, job, previous
from taskscheduler.declarations.flows import FlowJob, JobResult


class Fetch(Job):
    name = "flows-unit-fetch"


@job(name="flows-unit-add")
def add(one: int, two: int = 0) -> int:
    return one + two


def labels(jobs: Any) -> list[str]:
    return [one.label for one in jobs]


def test_a_job_is_called_as_its_class_unless_it_has_a_label() -> None:
    flow = Flow("order")
    made = [flow.add(Fetch), flow.add(Fetch), flow.add("myapp.jobs.Pack"), flow.add(Fetch, label="last"), flow.add(add)]
    assert labels(made) == ["Fetch", "Fetch-2", "Pack", "last", "add"]
    assert flow.jobs == made


def test_a_default_label_is_free() -> None:
    flow = Flow("order")
    flow.add(Fetch, label="Fetch-2")
    assert labels([flow.add(Fetch), flow.add(Fetch)]) == ["Fetch", "Fetch-3"]


def test_a_label_is_taken_once() -> None:
    flow = Flow("order")
    flow.add(Fetch, label="one")
    with pytest.raises(InvalidFlowError, match="has a job with the label 'one' already"):
        flow.add(Fetch, label="one")


@pytest.mark.parametrize("after", ["Fetch", ["Fetch"], None])
def test_what_comes_before_is_a_job_or_its_label(after: Any) -> None:
    flow = Flow("order")
    fetch = flow.add(Fetch)
    later = flow.add(Fetch, after=fetch if after is None else after)
    assert later.predecessors == [fetch]


def test_a_job_of_another_flow_cannot_come_before() -> None:
    other = Flow("other").add(Fetch)
    with pytest.raises(InvalidFlowError, match="'Fetch' of another flow, 'other'"):
        Flow("order").add(Fetch, after=[other])


def test_a_label_that_nobody_has_is_refused_with_the_nearest_one() -> None:
    flow = Flow("order")
    flow.add(Fetch)
    with pytest.raises(InvalidFlowError, match=r"'Fetsh', which is no job of flow 'order'; did you mean Fetch\?"):
        flow.add(Fetch, after=["Fetsh"])


@pytest.mark.parametrize("after", [3, {"a": 1}, [3], [None], b"x"])
def test_what_is_no_job_cannot_come_before(after: Any) -> None:
    with pytest.raises(InvalidFlowError):
        Flow("order").add(Fetch, after=after)


@pytest.mark.parametrize("name", ["", "x" * 201, 3, None, "a\nb"])
def test_a_flow_has_a_name_for_people(name: Any) -> None:
    with pytest.raises(InvalidFlowError, match="the name of a flow must be a printable text"):
        Flow(name)


def test_a_policy_must_be_known() -> None:
    with pytest.raises(InvalidFlowError, match=r'must be "cancel", "run" or "skip", not \'skipp\'; did you mean skip?'):
        Flow("order").add(Fetch, on_failure="skipp")


REFUSED: list[dict[str, Any]] = [
    {"dedupe": True},
    {"unique_for": 3},
    {"debounce": 3},
    {"interval": 3},
    {"ignore_data": True},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_options_that_make_a_job_another_one_do_not_go_with_a_flow(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=f"option {next(iter(options))} does not go with a flow"):
        Flow("order").add(Fetch, **options)


def test_a_wrong_option_is_refused_at_once() -> None:
    with pytest.raises(InvalidOptionError, match="option retry must be an integer"):
        Flow("order").add(Fetch, retry="often")


def results_in(one: FlowJob) -> list[str]:
    items = one.data if isinstance(one.data, list) else [one.data]
    return [item.job.label for item in items if isinstance(item, JobResult)]


def test_in_a_chain_each_comes_after_the_one_before() -> None:
    flow = chain(call(add, 1), call(add, previous, 2), Fetch)
    first, second, third = flow.jobs
    assert (first.predecessors, second.predecessors, third.predecessors) == ([], [first], [second])
    assert results_in(second) == ["add"]


def test_a_list_in_a_chain_runs_beside_each_other() -> None:
    flow = chain(call(add, 1), [call(add, previous), (Fetch, previous, {"retry": 3})], (Fetch, previous))
    first, one, two, last = flow.jobs
    assert one.predecessors == two.predecessors == [first]
    assert last.predecessors == [one, two]
    assert two.options == {"retry": 3}
    assert results_in(last) == ["add-2", "Fetch"]


def test_a_group_has_one_that_comes_after_all() -> None:
    flow = group([call(add, number) for number in range(3)], then=call(Fetch, previous))
    *members, last = flow.jobs
    assert last.predecessors == members
    assert len(results_in(last)) == 3


def test_a_group_may_have_none() -> None:
    assert [one.predecessors for one in group([Fetch, Fetch]).jobs] == [[], []]


def test_nothing_comes_before_the_first() -> None:
    with pytest.raises(InvalidFlowError, match="before which nothing comes"):
        chain(call(add, previous), Fetch)


@pytest.mark.parametrize("calls", [(), ([],)])
def test_a_chain_is_not_empty(calls: Any) -> None:
    with pytest.raises(InvalidFlowError):
        chain(*calls)
