"""Flows of ten thousand jobs: how long it takes to add them, and how fast they run beside jobs that wait for nobody.

It is about figures, so it wants the machine for itself: `.venv/bin/pytest -m scale -s tests/scale/test_flows.py`
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bson import ObjectId

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.declarations.flows import FlowJob
from tests.support.eventually import eventually
from tests.support.jobs import Noop
from tests.support.nodes import NodeProcess
from tests.support.web import visit

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]

WIDE, DEEP = 100, 100

JOBS = WIDE * DEEP

ROUNDS = 3

QUICKLY = 3.0  #: seconds in which ten thousand jobs are added

SHARE = 0.8  #: of the rate of independent jobs

PAGES, ONE_PAGE = 20, 0.2  #: how often a page is asked for, and seconds of CPU time that it takes in the median

LIVE = {"status": {"$lte": int(Status.PROCESSING)}}


def show(text: str) -> None:
    print(text)  # noqa: T201


def chains() -> Flow:
    """A hundred chains of a hundred jobs."""
    flow = Flow("chains")
    for _ in range(WIDE):
        before: list[FlowJob] = []
        for _ in range(DEEP):
            before = [flow.add(Noop, after=before)]
    return flow


def layers() -> Flow:
    """A hundred layers of a hundred jobs; each comes after all jobs of the layer before."""
    flow = Flow("layers")
    before: list[FlowJob] = []
    for _ in range(DEEP):
        before = [flow.add(Noop, after=before) for _ in range(WIDE)]
    return flow


def fan_in() -> Flow:
    """Ten thousand jobs, and one that comes after all of them."""
    flow = Flow("fan-in")
    flow.add(Noop, after=[flow.add(Noop) for _ in range(JOBS)], label="last")
    return flow


@contextmanager
def fresh(server_uri: str) -> Iterator[tuple[str, Scheduler]]:
    uri = server_uri.format(f"scale_{ObjectId()}")
    with Scheduler(uri) as scheduler:
        try:
            yield uri, scheduler
        finally:
            scheduler.store.drop()


def drained(server_uri: str, directory: Path, add: Callable[[Scheduler], int]) -> float:
    """Jobs that a node with two workers runs in a second: from the first start until all ends are written."""
    with fresh(server_uri) as (uri, scheduler):
        node = NodeProcess(uri, directory / f"node-{ObjectId()}.log", {"pm": "static", "min_children": 2})
        try:
            node.wait_until_ready()
            scheduler.pause(reason="the jobs are added first")
            count, jobs = add(scheduler), scheduler.store.jobs.collection
            scheduler.resume()
            done = {"status": int(Status.DONE)}

            def none_is_live() -> bool:
                threading.Event().wait(0.25)
                return jobs.find_one(LIVE, {"_id": 1}, hint="live_list") is None  # counting would take some time

            eventually(none_is_live, 300, "all jobs have ended")
            assert jobs.count_documents(done) == count
            first = jobs.find_one(done, {"started": 1}, sort=[("started", 1)])
            last = jobs.find_one(done, {"ended": 1}, sort=[("ended", -1)])
        finally:
            node.stop()
            node.destroy()
    assert first is not None
    assert last is not None
    return count / float((last["ended"] - first["started"]).total_seconds())


def add_independent(scheduler: Scheduler) -> int:
    scheduler.add_jobs([Noop] * JOBS)
    return JOBS


def added(flow: Callable[[], Flow]) -> Callable[[Scheduler], int]:
    def add(scheduler: Scheduler) -> int:
        return scheduler.flows.add(flow()).total

    return add


@pytest.mark.parametrize("shape", [chains, layers, fan_in], ids=lambda shape: shape.__name__)
def test_ten_thousand_jobs_are_added_quickly(server_uri: str, shape: Callable[[], Flow]) -> None:
    took = []
    for _ in range(ROUNDS):
        with fresh(server_uri) as (_, scheduler):
            scheduler.flows.add(small())  # which creates what is missing
            began = time.monotonic()
            scheduler.flows.add(shape())
            took.append(time.monotonic() - began)
    show(f"{shape.__name__}: {JOBS} jobs described and added in {statistics.median(took):.2f} s")
    assert statistics.median(took) < QUICKLY


def small() -> Flow:
    flow = Flow("small")
    flow.add(Noop)
    return flow


@pytest.mark.parametrize("shape", [chains, layers, fan_in], ids=lambda shape: shape.__name__)
def test_a_flow_runs_nearly_as_fast_as_independent_jobs(
    server_uri: str, tmp_path: Path, shape: Callable[[], Flow]
) -> None:
    independent, flows = [], []
    for _ in range(ROUNDS):
        independent.append(drained(server_uri, tmp_path, add_independent))
        flows.append(drained(server_uri, tmp_path, added(shape)))
    rate, other = statistics.median(flows), statistics.median(independent)
    show(f"{shape.__name__}: {rate:.0f} jobs a second, independent ones {other:.0f}: {rate / other:.0%}")
    assert rate >= SHARE * other


@pytest.mark.parametrize("shape", [chains, layers, fan_in], ids=lambda shape: shape.__name__)
def test_the_page_of_a_flow_of_ten_thousand_jobs_takes_little_time(server_uri: str, shape: Callable[[], Flow]) -> None:
    took = []
    with fresh(server_uri) as (_, scheduler), visit(scheduler) as client:
        flow = scheduler.flows.add(shape())
        for _ in range(PAGES):
            began = time.process_time()
            assert client.get(f"/flows/{flow.id}").status_code == 200
            took.append(time.process_time() - began)
    show(f"{shape.__name__}: its page takes {1000 * statistics.median(took):.0f} ms of CPU time")
    assert statistics.median(took) < ONE_PAGE
