"""Brings what a node has reported with its last heartbeat up to date with the jobs that run there now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.slots import slots_taken
from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler_daemon.presentation.node import workers

Job = Mapping[str, Any]  #: a running job as `JobLists.running_on` gives it


def boots_of(nodes: Iterable[Mapping[str, Any]]) -> list[ObjectId]:
    """Returns the starts of the nodes that may run jobs."""
    return [node["_id"] for node in nodes if state_of(node) is not NodeState.LOST]


def as_of_now(nodes: Iterable[Mapping[str, Any]], running: Sequence[Job]) -> list[Mapping[str, Any]]:
    """Returns the nodes with the jobs that run there now, whatever they ran at their last heartbeat."""
    on: dict[Any, list[Job]] = defaultdict(list)
    for job in running:
        on[job["boot"]].append(job)
    return [node if state_of(node) is NodeState.LOST else _updated(node, on[node["_id"]]) for node in nodes]


def _updated(node: Mapping[str, Any], jobs: Sequence[Job]) -> dict[str, Any]:
    known = [dict(worker) for worker in workers(node)]
    reported = {worker.get("job"): str(worker.get("id")) for worker in known}
    placed: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        # until its first sign of life only the heartbeat says where a job runs, if it began before that
        placed[str(job.get("worker") or reported.get(job["_id"]))].append(job)
    found = [_at_work(worker, placed.pop(str(worker.get("id")), ())) for worker in known]
    left = [_at_work({"id": None, "pid": None}, [job]) for rest in placed.values() for job in rest]
    free = sum(worker["job"] is None for worker in found)
    return {**node, "workers": [*found, *left[:free]], "running": len(jobs), "busy": slots_taken(node, jobs)}


def _at_work(worker: Mapping[str, Any], jobs: Sequence[Job]) -> dict[str, Any]:
    """Returns a worker with one of the jobs that it runs, and their number."""
    if not jobs:
        return {**worker, "job": None, "seconds": 0.0, "jobs": 0}
    last = jobs[-1]
    return {**worker, "job": last["_id"], "seconds": last.get("seconds"), "jobs": len(jobs)}
