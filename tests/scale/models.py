"""One document of each kind as the product writes it: nodes run some jobs, others wait, and what they leave is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.model.options import NODES
from taskscheduler.process import Process
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

Document = dict[str, Any]

LIMIT, GROUP, SEQUENCE, SCHEDULE, CLASS = "stripe", "customer", "account", "nightly", "noop"

_LONG = {"seconds": 3600}


class Models(dict[str, Document]):
    """Documents of jobs by what is particular about them, and those of a node and of a flow."""

    def __init__(self, jobs: Mapping[str, Process], node: Document, flow: Document) -> None:
        super().__init__({name: job.to_dict() for name, job in jobs.items()})
        self.node = node
        self.flow = flow


def models(scheduler: Scheduler, uri: str, directory: Path) -> Models:
    """Makes them in this database, and empties its jobs afterwards."""
    scheduler.limits.set(LIMIT, concurrency=1)
    scheduler.pause(job="trace", reason="the disk is full")
    flow = Flow("order")
    last = flow.add(CLASS, after=[flow.add("wait", _LONG, label="pack")], label="ship")
    with _node(uri, directory):
        jobs = _ended(scheduler)
        ended_flow = scheduler.flows.get(jobs["flow"].to_dict()["flow"])
        jobs |= _live(scheduler, directory)
        running = scheduler.flows.add(flow)
        jobs |= {"ahead": next(job for job in running.processes if job.id == last.id)}
        at_work = [jobs["running"], jobs["holder"], jobs["program"]]
        eventually(lambda: all(_read(scheduler, one).status is Status.PROCESSING for one in at_work), 60, "jobs run")
        eventually(
            lambda: (
                _read(scheduler, jobs["signal"]).status is Status.POSTPONED
                and "awaits" in _read(scheduler, jobs["signal"]).to_dict()
            ),
            60,
        )
        eventually(
            lambda: "blocked" in _read(scheduler, jobs["paused"]).to_dict(), 60, "a job of a paused class is parked"
        )
        node = eventually(lambda: _busy_node(scheduler), 60, "a heartbeat with busy workers")
        flow_document = scheduler.store.flows.get(ended_flow.id)
        assert flow_document is not None
        found = Models({name: _read(scheduler, job) for name, job in jobs.items()}, node, flow_document)
    scheduler.store.jobs.collection.delete_many({})
    scheduler.store.flows.collection.delete_many({})
    scheduler.store.database[NODES].delete_many({})
    scheduler.resume(job="trace")
    return found


@contextmanager
def _node(uri: str, directory: Path) -> Iterator[NodeProcess]:
    options = {
        "pm": "static",
        "min_children": 8,
        "max_children": 8,
        "jobs": ["tests.support.jobs", "tests.support.resumable"],
        "queues": ["default"],
    }
    node = NodeProcess(uri, directory / "web-1.log", options)
    try:
        node.wait_until_ready()
        yield node
        node.kill()
    finally:
        node.destroy()


def _ended(scheduler: Scheduler) -> dict[str, Any]:
    flow = Flow("order")
    flow.add(CLASS, after=[flow.add(CLASS, label="pack")], label="ship")
    scheduler.schedules.add(SCHEDULE, CLASS, cron="30 2 * * *", timezone="Europe/Zurich")
    jobs: dict[str, Any] = {
        "done": scheduler.add_job("echo", {"to": "somebody@example.org", "n": 1}),
        "tagged": scheduler.add_job(CLASS, {"n": 1}, tags=["eu"]),
        "failed": scheduler.add_job("fail", "no space left on device"),
        "timeout": scheduler.add_job("wait", _LONG, timeout=1),
        "retried": scheduler.add_job("flaky", 2, retry=2, retry_interval=0),
        "limited": scheduler.add_job(CLASS, limits=LIMIT),
        "grouped": scheduler.add_job(CLASS, group=GROUP),
        "ordered": scheduler.add_job(CLASS, sequence=SEQUENCE),
        "run": scheduler.schedules.run(SCHEDULE),
        "flow": scheduler.flows.add(flow).processes[0],
        "canceled": scheduler.add_job(CLASS, at=timedelta(hours=1)),
        "blocking": scheduler.add_job("fail", None, sequence="stuck", sequence_on_failure="block"),
    }
    scheduler.cancel_job(jobs["canceled"].id)
    for job in jobs.values():
        eventually(lambda job=job: _read(scheduler, job).status.is_final, 60, "jobs have ended")  # type: ignore[misc]
    flow_id = jobs["flow"].to_dict()["flow"]
    eventually(lambda: scheduler.flows.get(flow_id).has_ended, 60, "a flow has ended")
    return jobs


def _live(scheduler: Scheduler, directory: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = {
        "running": scheduler.add_job("wait", _LONG),
        "holder": scheduler.add_job("wait", _LONG, limits=LIMIT),
        "signal": scheduler.add_job("order", {"trace": str(directory / "trace"), "waits": True}),
        "program": scheduler.track("import", rows=12).start(),
        "paused": scheduler.add_job("trace", str(directory / "other")),
        "behind": scheduler.add_job(CLASS, sequence="stuck"),
        "postponed": scheduler.add_job(CLASS, {"n": 1}, at=timedelta(days=1)),
        "waiting": scheduler.add_job(CLASS, {"n": 1}, queue="nobody"),
        "service": scheduler.start_service("feed-reader", name="feed", queue="nobody"),
        "turn": scheduler.add_job(CLASS, {"n": 1}, group=GROUP, queue="nobody"),
    }

    eventually(lambda: _read(scheduler, jobs["holder"]).status is Status.PROCESSING, 60, "the place is taken")
    return jobs | {"full": scheduler.add_job(CLASS, limits=LIMIT)}


def _read(scheduler: Scheduler, job: Any) -> Process:
    return scheduler.get_job(job.id)


def _busy_node(scheduler: Scheduler) -> Document | None:
    return next((node for node in scheduler.store.nodes.all() if _jobs_of(node) and node.get("jobs")), None)


def _jobs_of(node: Document) -> int:
    return sum(worker.get("job") is not None for worker in node.get("workers", ()))
