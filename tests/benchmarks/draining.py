"""How fast jobs that do nothing are run: a backlog, with producers, by two nodes, and out of a million."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from taskscheduler import Scheduler
from tests.benchmarks.floor import documents
from tests.benchmarks.jobs import Stamp
from tests.benchmarks.processes import cpu_seconds, pss_mb
from tests.benchmarks.stage import Stage, await_all_ended, await_runs, await_true
from tests.benchmarks.versions import PRESENT, Version
from tests.support.nodes import ROOT, NodeProcess

_PRODUCERS, _PER_CALL = 2, 100
_FIRST = 10_000  #: so many executions are timed, whatever the backlog
_FURTHER = 100_000  #: executions after which a large backlog is looked at again
_PRODUCE = """
import sys
from taskscheduler import Scheduler
from tests.benchmarks.jobs import Stamp
with Scheduler(sys.argv[1]) as scheduler:
    for _ in range(int(sys.argv[2])):
        scheduler.add_jobs([Stamp] * int(sys.argv[3]))
"""


class Drained(NamedTuple):
    """How a node has drained a backlog."""

    executed: float  #: jobs per second, from the first execution to the last
    completed: float  #: until all ends are written
    pss: float  #: MB of the node with all below it, at the end
    cpu: dict[str, float]  #: microseconds of each part per job


def backlog(stage: Stage) -> None:
    """Jobs that wait when the node starts: from the first execution to the last, and until all ends are written."""
    for version in stage.in_turn():
        with stage.fresh_uri() as uri:
            found = drained(stage, version, uri, stage.scaled(30_000, 5_000))
        stage.figures.note(f"{version.name}.drain_executed", found.executed)
        stage.figures.note(f"{version.name}.drain_completed", found.completed)
        for part, used in found.cpu.items():
            prefix = "cpu." if version is PRESENT else f"{version.name}.cpu_"
            stage.figures.note(f"{prefix}{part}", used, "us per job")


def drained(stage: Stage, version: Version, uri: str, count: int) -> Drained:
    """Adds so many jobs, then starts a node of this version that drains them."""
    version.act(uri, "many", count)
    stamps = stage.stamps()
    with stage.jobs(uri) as jobs, stage.node(uri, version) as node:
        await_runs(stamps, 1, node)
        before, already = _used(stage, node), stamps.count()
        await_runs(stamps, count, node)
        ended = await_all_ended(jobs)
        after, pss = _used(stage, node), pss_mb([node.pid, *node.tree()])
    _check_once(stage, stamps.count(), count)
    cpu = {part: 1e6 * (seconds - before[part]) / (count - already) for part, seconds in after.items()}
    return Drained(stamps.rate(), count / (ended - stamps.times()[0]), pss, cpu)


def _used(stage: Stage, node: NodeProcess) -> dict[str, float]:
    """The processor time of each part so far: what limits the rate when their sum is all that the cores have."""
    parts = {"node": [node.pid], "manager": [node.manager], "workers": node.workers, "mongod": [stage.mongod]}
    return {part: cpu_seconds(pids) for part, pids in parts.items()}


def flow(stage: Stage) -> None:
    """Two processes add jobs, a hundred per call, while a node runs them."""
    calls = stage.scaled(100, 25)
    count = _PRODUCERS * calls * _PER_CALL
    with stage.scheduler() as (uri, scheduler):
        stamps = stage.stamps()
        with stage.node(uri) as node, ExitStack() as producing:
            node.wait_until_ready()
            for _ in range(_PRODUCERS):
                producing.enter_context(_producer(uri, calls))
            await_true(lambda: stamps.count() >= count)
            ended = await_all_ended(scheduler.store.jobs.collection)
        stage.figures.note("product.flow_completed", count / (ended - stamps.times()[0]))
        _check_once(stage, stamps.count(), count)


@contextmanager
def _producer(uri: str, calls: int) -> Iterator[None]:
    command = [sys.executable, "-c", _PRODUCE, uri, str(calls), str(_PER_CALL)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield
            process.wait(60)
        finally:
            process.kill()


def two_nodes(stage: Stage) -> None:
    """Two nodes of two workers each: the rate while both have work."""
    count = stage.scaled(60_000, 10_000)
    with stage.scheduler() as (uri, scheduler):
        scheduler.add_jobs([Stamp] * count)
        stamps = stage.stamps()
        with stage.node(uri), stage.node(uri):
            await_true(lambda: stamps.count() >= count)
            await_all_ended(scheduler.store.jobs.collection)
        if len(stamps.by_parent()) == 2:
            stage.figures.note("product.two_nodes", stamps.shared_rate())
        _check_once(stage, stamps.count(), count)


def million(stage: Stage) -> None:
    """The first 10 000 executions out of a small and out of a large backlog, and of the large one those after 90 000.

    The memory of the node in all three.
    """
    for name, count in (("small", _FIRST), ("large", 1_000_000)):
        with stage.scheduler() as (uri, scheduler):
            fill(scheduler, count)
            stamps = stage.stamps()
            with stage.node(uri) as node:
                await_true(lambda: stamps.count() >= _FIRST)  # noqa: B023 - called at once
                stage.figures.note(f"product.backlog_{name}", stamps.rate(_FIRST))
                stage.figures.note(f"product.backlog_{name}_pss", pss_mb([node.pid, *node.tree()]), "MB")
                if count > _FURTHER:
                    await_true(lambda: stamps.count() >= _FURTHER)  # noqa: B023 - called at once
                    stage.figures.note("product.backlog_further", stamps.rate(_FURTHER, _FURTHER - _FIRST))
                    stage.figures.note("product.backlog_further_pss", pss_mb([node.pid, *node.tree()]), "MB")


def fill(scheduler: Scheduler, count: int) -> None:
    """Store jobs without waiting for the journal: that is measured elsewhere."""
    jobs = scheduler.store.database.client.get_database(scheduler.store.database.name)[
        scheduler.store.options.job_store
    ]
    for _ in range(0, count, 10_000):
        jobs.insert_many(documents(min(count, 10_000)), ordered=False)


def _check_once(stage: Stage, ran: int, added: int) -> None:
    if ran != added:
        stage.figures.remark(f"{ran} executions of {added} jobs")
