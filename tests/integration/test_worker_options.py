"""Options that are set on the scheduler of a worker hold for that worker, else those of its node."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import crossed

from taskscheduler import Job, Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]

_STEPS, _EVERY = 30, 0.03


def is_seen(value: int, seen: str | None) -> bool:
    """Whether the test has seen this value; without a file, whether nobody waits for that."""
    return seen is None or os.path.getsize(seen) >= value


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
    """Reports one value after the other, with a pause after each: until the test has seen it, if its data name a file.

    Values that follow each other too fast for a busy machine would be written as one.
    """

    name = "options.steps"

    def start(self) -> None:
        pause = threading.Event()
        for value in range(1, _STEPS + 1):
            self.update_progress(value)
            pause.wait(_EVERY)
            while not is_seen(value, self.data):
                pause.wait(0.005)


class AsyncSteps(Job):
    """The same in an event loop."""

    name = "options.async_steps"

    async def start(self) -> None:
        for value in range(1, _STEPS + 1):
            self.update_progress(value)
            await asyncio.sleep(_EVERY)
            while not is_seen(value, self.data):
                await asyncio.sleep(0.005)


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


def values_seen(scheduler: Scheduler, job: type[Job], path: Path, limited: bool) -> list[float]:
    """The values of progress that were written; without a limit the job waits for each."""
    seen: list[float] = []

    def note(_event: str, process: Process) -> None:
        seen.append(process.progress)
        with path.open("ab") as file:
            file.write(b".")

    path.touch()
    scheduler.on("progress", note)
    with scheduler.listen_in_background():  # from before it begins: nobody is told of progress from before that
        process = scheduler.add_job(job, None if limited else str(path))
        eventually(lambda: process.refresh().status is Status.DONE, 60, "the job is done")
    return seen


PROGRESS_LIMITS: list[tuple[dict[str, Any], str, bool]] = [
    ({}, '{"progress_rate_limit": 0}', False),
    ({"progress_rate_limit": 60_000}, '{"progress_rate_limit": 0}', False),
    ({"progress_rate_limit": 0}, "{}", False),
    ({"progress_rate_limit": 0}, "none", False),
    ({"progress_rate_limit": 0}, '{"progress_rate_limit": 60000}', True),
    ({"progress_rate_limit": 60_000}, "{}", True),
]


@pytest.mark.parametrize(("job", "case"), crossed([Steps, AsyncSteps], PROGRESS_LIMITS))
def test_the_limit_for_progress_of_the_worker_precedes_that_of_its_node(
    scheduler: Scheduler,
    start: Callable[[Mapping[str, Any], str], NodeProcess],
    tmp_path: Path,
    job: type[Job],
    case: tuple[dict[str, Any], str, bool],
) -> None:
    node, worker, limited = case
    start(node, worker)
    seen = values_seen(scheduler, job, tmp_path / "seen", limited)
    assert len(seen) <= 2 if limited else seen == [*range(1, _STEPS + 1)], seen


def test_so_does_its_limit_for_results(
    scheduler: Scheduler, start: Callable[[Mapping[str, Any], str], NodeProcess]
) -> None:
    start({"max_payload": 4096}, '{"max_payload": 1024}')
    small, large = scheduler.add_job(Large, 500), scheduler.add_job(Large, 2000)
    scheduler.wait_for([small, large], timeout=30)
    assert (small.status, large.status) == (Status.DONE, Status.FAILED)
    assert (large.error or {})["type"] == "PayloadTooLargeError"
