"""The workers of a node as a tree: what each of them does, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskscheduler.model.sound import sound
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.node import worker_usage, workers

_SHOWN = 50


def pid(worker: Mapping[str, Any]) -> str:
    """Returns the process of a worker; `?` for a job that began a moment ago, on a worker that is not known yet."""
    return str(worker.get("pid") or "?")


def work(worker: Mapping[str, Any], jobs: Mapping[Any, Mapping[str, Any]]) -> tuple[str, str]:
    """Returns what a worker does: the id of its job, and details. `jobs`: the jobs that run, by their ids."""
    job_id = worker.get("job")
    if job_id is None:
        return "idle", worker_usage(worker)
    job = jobs.get(job_id, {})
    percent = f"{progress:.4g}%" if (progress := sound(job, "progress")) else ""
    seconds = brief(float(worker["seconds"])) if worker.get("seconds") is not None else ""
    others = int(worker.get("jobs") or 1) - 1
    more = f"and {others} more" if others else ""
    return str(job_id), " ".join(
        part for part in (str(job.get("class", "")), seconds, percent, more, worker_usage(worker)) if part
    )


def tree(node: Mapping[str, Any], jobs: Mapping[Any, Mapping[str, Any]], fancy: bool) -> Iterator[str]:
    """Yields a printable line for each worker of a node, the first 50, and how many more there are."""
    found = workers(node)
    for number, worker in enumerate(found[:_SHOWN]):
        last = number == min(len(found), _SHOWN) - 1
        branch = ("└" if last else "├") if fancy else "-"
        yield clean(f"  {branch} {pid(worker):<7} {'  '.join(work(worker, jobs))}".rstrip())
    if len(found) > _SHOWN:
        yield f"    and {len(found) - _SHOWN} more workers"
