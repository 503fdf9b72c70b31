"""Options that are set on the scheduler of a worker hold for that worker, else those of its node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.support.nodes import NodeProcess

from taskscheduler import Job, Scheduler, Status

StartNode = Callable[..., NodeProcess]

_STEPS, _EVERY = 30, 0.03

_MAIN = """
import json, logging, sys
from taskscheduler import Scheduler
from taskscheduler_daemon import QueueNode, Worker, WorkerManager
import tests.integration.test_worker_options
logging.basicConfig(level=logging.INFO)
uri, node, worker = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])["name"]

class Factory:
    def build_manager(self):
        return WorkerManager(self, pm="static", min_children=1)

    def build_worker(self, id):
        return Worker(id, None if worker == "none" else Scheduler(uri, options=json.loads(worker)))

sys.exit(QueueNode(Scheduler(uri, options=node), Factory()).process())
"""


class Steps(Job):
    """Reports one value after the other, with a pause after each."""

    name = "options.steps"

    def start(self) -> None:
        pause = threading.Event()
        for value in range(1, _STEPS + 1):
            self.update_progress(value)
            pause.wait(_EVERY)


class AsyncSteps(Job):
    """The same in an event loop."""

    name = "options.async_steps"

    async def start(self) -> None:
        for value in range(1, _STEPS + 1):
            self.update_progress(value)
            await asyncio.sleep(_EVERY)


class Large(Job):
    """Returns so many bytes."""

    name = "options.large"

    def start(self) -> bytes:
        return bytes(self.data)


@pytest.fixture
def start(start_node: StartNode, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Any], str], NodeProcess]:
    """Starts a node with these options of its scheduler, and these of the scheduler of its workers, as JSON."""
    monkeypatch.setattr("tests.support.nodes._MAIN", _MAIN)
    return lambda node, worker: start_node(scheduler_options=dict(node), name=worker)


def values_seen(scheduler: Scheduler, job: type[Job]) -> int:
    """How many values of progress were written."""
    seen = []
    scheduler.on("progress", lambda _event, process: seen.append(process.progress))
    assert scheduler.add_job(job).wait(30).status is Status.DONE
    return len(seen)


@pytest.mark.parametrize("job", [Steps, AsyncSteps])
@pytest.mark.parametrize(
    ("node", "worker", "limited"),
    [
        ({}, '{"progress_rate_limit": 0}', False),
        ({"progress_rate_limit": 60_000}, '{"progress_rate_limit": 0}', False),
        ({"progress_rate_limit": 0}, "{}", False),
        ({"progress_rate_limit": 0}, "none", False),
        ({"progress_rate_limit": 0}, '{"progress_rate_limit": 60000}', True),
        ({"progress_rate_limit": 60_000}, "{}", True),
    ],
)
def test_the_limit_for_progress_of_the_worker_precedes_that_of_its_node(
    scheduler: Scheduler,
    start: Callable[[Mapping[str, Any], str], NodeProcess],
    job: type[Job],
    node: dict[str, Any],
    worker: str,
    limited: bool,
) -> None:
    start(node, worker)
    seen = values_seen(scheduler, job)
    assert seen <= 2 if limited else seen >= _STEPS * 0.6, seen


def test_so_does_its_limit_for_results(
    scheduler: Scheduler, start: Callable[[Mapping[str, Any], str], NodeProcess]
) -> None:
    start({"max_payload": 4096}, '{"max_payload": 1024}')
    small, large = scheduler.add_job(Large, 500), scheduler.add_job(Large, 2000)
    scheduler.wait_for([small, large], timeout=30)
    assert (small.status, large.status) == (Status.DONE, Status.FAILED)
    assert (large.error or {})["type"] == "PayloadTooLargeError"
