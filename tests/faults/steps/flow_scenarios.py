"""What happens to the jobs of flows while the fault strikes; see `scenarios.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bson import ObjectId

from taskscheduler import Flow, Status
from tests.faults.steps.scenarios import Change, Scenario
from tests.faults.steps.stage import FLOWS, Stage, healed
from tests.support.flowing import diamond

_TWO_WORKERS: Mapping[str, Any] = {"min_children": 2}


def chain_of_results() -> Flow:
    """Each takes the result of the one before; the last one of two."""
    flow = Flow("results")
    first = flow.add("flow-number", 1)
    second = flow.add("flow-number", first.result)
    flow.add("flow-total", [[first.result, second.result]], label="total")
    return flow


def failing(*job: Any) -> Flow:
    """One fails: two are cancelled, one runs all the same."""
    flow = Flow("failing")
    bad = flow.add(*job or ["fail"])
    flow.add("noop", after=[flow.add("noop", after=[bad])])
    flow.add("noop", after=[bad], on_failure="run")
    return flow


_WIDTH = 6


def wide() -> Flow:
    """A layer between two jobs."""
    flow = Flow("wide")
    first = flow.add("noop")
    flow.add("noop", after=[flow.add("noop", after=[first]) for _ in range(_WIDTH)])
    return flow


def growing() -> Flow:
    """One adds two more jobs, and one that comes after them."""
    flow = Flow("growing")
    flow.add("flow-grow", 2)
    return flow


def _adder(stage: Stage) -> None:
    flow = Flow("growing")
    flow.add("faulty_grow", {"trace": stage.log, **stage.memory.get("faults", {})})
    stage.scheduler.flows.add(flow)


def _added(make: Callable[[], Flow]) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        stage.memory["job"] = stage.scheduler.flows.add(make()).id

    return prepare


def ended(stage: Stage, flow_status: str, **counts: int) -> bool:
    """Whether the jobs are in these statuses, and the flow has ended so."""
    wanted = {Status[name.upper()]: count for name, count in counts.items()}
    flows = list(stage.database[FLOWS].find({}))
    return stage.statuses() == wanted and [flow["status"] for flow in flows] == [flow_status]


def _ends(flow_status: str, **counts: int) -> Callable[[Stage], bool]:
    return lambda stage: ended(stage, flow_status, **counts)


def too_early(stage: Stage) -> list[tuple[ObjectId, ObjectId]]:
    """The jobs that could begin before one that they come after had ended well, each with that one."""
    jobs = {job["_id"]: job for job in stage.jobs.find({})}
    members = {join: [job for job in jobs.values() if join in job.get("joins", ())] for join in _joins(jobs)}
    moves = stage.moves()
    found = []
    for job in jobs.values():
        released = _first(moves, job["_id"], {Status.WAITING, Status.PROCESSING})
        good = {Status.DONE} if "on_failure" not in job else {status for status in Status if status.is_final}
        for member in members.get(job.get("after"), ()):
            ending = _first(moves, member["_id"], good)
            if released is not None and (ending is None or ending > released):
                found.append((job["_id"], member["_id"]))
    return found


def _joins(jobs: Mapping[ObjectId, Any]) -> Iterator[ObjectId]:
    return (job["after"] for job in jobs.values() if "after" in job)


def _first(moves: list[tuple[ObjectId, int]], job_id: ObjectId, statuses: set[Status]) -> int | None:
    places = (place for place, (moved, status) in enumerate(moves) if moved == job_id and status in statuses)
    return next(places, None)


def in_order(stage: Stage) -> None:
    """No job could begin before it may."""
    assert not too_early(stage)


def _flowing(make: Callable[[], Flow], flow_status: str, **counts: int) -> Scenario:
    return Scenario(_added(make), _ends(flow_status, **counts), facts=_TWO_WORKERS, check=in_order)


def _summed(stage: Stage) -> None:
    in_order(stage)
    total = stage.jobs.find_one({"class": "flow-total"})
    assert total is not None
    assert total["result"] == 2


FLOWING: Mapping[str, Scenario] = {
    "diamond": _flowing(diamond, "done", done=4),
    "results": Scenario(_added(chain_of_results), _ends("done", done=3), check=_summed),
    "failure": _flowing(failing, "failed", done=1, failed=1, canceled=2),
    "additions": _flowing(growing, "done", done=4),
}


#: with `IN_SMALL_PARTS`, its layer is claimed in two parts, and its ends are written in two
WIDE = _flowing(wide, "done", done=_WIDTH + 2)


#: the worker of the job that adds others has the fault
ADDING = Scenario(_adder, _ends("done", done=4), check=in_order)


def _all_of_them(stage: Stage) -> None:
    for make in (diamond, chain_of_results, failing, growing):
        stage.scheduler.flows.add(make())


def _all_have_ended(stage: Stage) -> bool:
    flows = Counter(flow["status"] for flow in stage.database[FLOWS].find({}))
    jobs = {Status.DONE: 12, Status.FAILED: 1, Status.CANCELED: 2}
    return stage.statuses() == jobs and flows == {"done": 3, "failed": 1}


#: all of them, so that a node is started for each step of four flows and not of one
TOGETHER = Scenario(_all_of_them, _all_have_ended, facts=_TWO_WORKERS, check=_summed)


@dataclass(frozen=True, kw_only=True)
class FlowChange(Change):
    """What an application does to a flow."""

    ends: Callable[[Stage], bool]  #: whether it has come to where it should
    again: Callable[[Stage], Any] | None = None  #: what a caller does who got no answer

    def verify(self, stage: Stage) -> None:
        """All of the flow is there or nothing. For what follows nobody but a node cares."""
        flows, jobs = stage.database[FLOWS].count_documents({}), stage.statuses().total()
        assert (flows, jobs) in {(0, 0), (1, 4)}, "all of it or nothing"
        if not flows:
            assert not stage.acknowledged
            return
        if self.again is not None and not stage.acknowledged:
            self.again(stage)
        healed(stage, self.ends)
        stage.verify()
        if self.what != "retry_flow":  # what has failed ends twice
            in_order(stage)


def _nothing(_stage: Stage) -> None:
    """There is no flow yet."""


def _has_failed(stage: Stage) -> None:
    """A flow of which the first job has failed, by a node that was there before."""
    _added(failing)(stage)
    stage.memory["retried"] = True
    stage.run_inline()


def _passes_by_now(stage: Stage) -> None:
    """The same, but the job fails only once."""
    flag = stage.directory / "flag"
    _added(lambda: failing("flow-passes", str(flag)))(stage)
    stage.memory["retried"] = True
    stage.run_inline()
    flag.touch()


_RETRY = FlowChange(
    "retry_flow",
    _has_failed,
    ends=_ends("failed", done=1, failed=1, canceled=2),
    again=lambda stage: stage.scheduler.flows.retry(stage.memory["job"]),
)

CHANGES: Mapping[str, FlowChange] = {
    "add": FlowChange("add_flow", _nothing, ends=_ends("done", done=4)),
    "cancel": FlowChange(
        "cancel_flow",
        _added(diamond),
        ends=_ends("canceled", canceled=4),
        again=lambda stage: stage.scheduler.flows.cancel(stage.memory["job"]),
    ),
    "retry": _RETRY,
    "retry that nobody repeats": replace(_RETRY, again=None),
    "retry of what passes": replace(_RETRY, prepare=_passes_by_now, ends=_ends("done", done=4)),
}
