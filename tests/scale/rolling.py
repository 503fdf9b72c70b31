"""A cluster that takes new code while jobs come: nodes stop and start one after the other, and every run is counted."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler import Job, Scheduler, Status
from tests.support.eventually import eventually
from tests.support.jobs import trace, traces
from tests.support.nodes import NodeProcess

STOP_TIMEOUT = 5.0  #: seconds

SHORT, MIDDLE, LONG = 0.03, 1.0, 12.0  #: seconds; the last ones take longer than a node waits for them

EVERY = 0.05  #: seconds between two jobs

MIDDLE_EVERY = 1.0  #: seconds between two jobs of a second

StartNode = Callable[..., NodeProcess]


class Rolled(Job):
    """Traces when each of its runs begins, and when it has come to its end."""

    name = "rolled"

    def start(self) -> None:
        data: dict[str, Any] = self.data
        trace(data["trace"], "began", self.id, time.monotonic())
        threading.Event().wait(data["seconds"])
        trace(data["trace"], "ended", self.id, time.monotonic())


class Added(NamedTuple):
    """A job that was added."""

    seconds: float
    at: float


class Producer:
    """Adds jobs from a thread of its own until it is stopped: short ones, and each second one of a second."""

    def __init__(self, scheduler: Scheduler, file: Path) -> None:
        self._scheduler = scheduler
        self._file = file
        self._stopped = threading.Event()
        self.added: dict[ObjectId, Added] = {}

    def run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(EVERY):
            is_due = due <= time.monotonic()
            due += MIDDLE_EVERY if is_due else 0
            self.add(MIDDLE if is_due else SHORT, "default")

    def add(self, seconds: float, queue: str) -> ObjectId:
        """Adds a job. Called from two threads."""
        now = time.monotonic()
        data = {"trace": str(self._file), "seconds": seconds}
        process = self._scheduler.add_job(Rolled, data, queue=queue)
        self.added[process.id] = Added(seconds, now)
        return process.id

    def begin(self, seconds: float, queue: str) -> None:
        """Adds a job, and waits until it has begun."""
        job = str(self.add(seconds, queue))
        eventually(lambda: any(line[:2] == ["began", job] for line in traces(self._file)), 60, f"{seconds} s")

    def stop(self) -> None:
        self._stopped.set()


@contextmanager
def producing(producer: Producer) -> Iterator[None]:
    """Adds jobs during the block."""
    thread = threading.Thread(target=producer.run)
    thread.start()
    try:
        yield
    finally:
        producer.stop()
        thread.join()


def queues_of(number: int) -> list[str]:
    """The queues of a node: that of all, and one of its own, which the node in its place serves as well."""
    return ["default", f"own-{number}"]


def roll(nodes: list[NodeProcess], producer: Producer, start_node: StartNode, **options: Any) -> list[float]:
    """Replaces the nodes one after the other; returns how long each took to stop. Each must end with 0.

    Each is stopped in the middle of a long job and of one of a second.
    """
    stops = []
    for number, node in enumerate(nodes):
        queues = queues_of(number)
        producer.begin(LONG, queues[1])
        producer.begin(MIDDLE, queues[1])
        begun = time.monotonic()
        node.send(signal.SIGTERM)
        assert node.process.wait(60) == 0, node.log.read_text()[-2000:]
        stops.append(time.monotonic() - begun)
        start_node(queues=queues, **options)
    return stops


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs."""

    added: int
    done: int
    begun_once: int
    begun_again: list[float]  #: the seconds of jobs that began more than once
    ended_again: int  #: jobs that came to their end more than once
    longest_pause: float  #: seconds without the begin of any job
    longest_wait: float  #: seconds from when a job was added until it began

    def __str__(self) -> str:
        return (
            f"{self.added} jobs added, {self.added - self.done} lost, {self.begun_once} begun once, "
            f"{len(self.begun_again)} begun again, {self.ended_again} ended twice; "
            f"longest pause between two begins {self.longest_pause:.1f} s, longest wait {self.longest_wait:.1f} s"
        )


def outcome(scheduler: Scheduler, producer: Producer, file: Path) -> Outcome:
    """Counts what the jobs have traced, and what is stored of them."""
    began, ended, times, first = Counter[str](), Counter[str](), [], dict[str, float]()
    for what, job, at in traces(file):
        (began if what == "began" else ended)[job] += 1
        if what == "began":
            times.append(float(at))
            first.setdefault(job, float(at))
    statuses = scheduler.store.jobs.statuses(list(producer.added))
    return Outcome(
        added=len(producer.added),
        done=sum(statuses.get(job) is Status.DONE for job in producer.added),
        begun_once=sum(began[str(job)] == 1 for job in producer.added),
        begun_again=sorted(one.seconds for job, one in producer.added.items() if began[str(job)] > 1),
        ended_again=sum(count > 1 for count in ended.values()),
        longest_pause=max(after - before for before, after in pairwise(sorted(times))),
        longest_wait=max(first[str(job)] - one.at for job, one in producer.added.items() if str(job) in first),
    )
