"""Limits, rates, sequences and windows with thousands of jobs, while processes die; and what they cost others.

It is about figures, so it wants the machine for itself: `.venv/bin/pytest -m scale -s tests/scale/test_control.py`
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler import Scheduler, Status
from tests.scale.controlled import Limited, Ordered, Started, counted, disorder, gaps, most_within, steps
from tests.scale.crowd import copy
from tests.scale.killing import Killer, Nodes
from tests.support.eventually import eventually
from tests.support.jobs import Noop, traces
from tests.support.nodes import ROOT, NodeProcess
from tests.support.replicaset import ReplicaSet

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]

PLACES, LIMITED = 3, 5_000
OF_EACH_CLASS, ROUNDS = 100_000, 5
RATE, BURST, RATED_SECONDS = 100, 20, 60
LATE = 0.1  #: seconds from the count to the first line of a job: nodes claim what can begin in that time
SEQUENCES, LENGTH = 200, 50
ADDERS, TIMES = 8, 1_000
BATCH = 2_000

#: no job is given up for what the test kills, and a dead node is found soon
MORTAL = {"pm": "static", "max_children": 8, "orphaned_timeout": 3, "max_lost": 1000}


def show(text: str) -> None:
    print(text)  # noqa: T201


def add(scheduler: Scheduler, jobs: list[Any]) -> None:
    for start in range(0, len(jobs), BATCH):
        scheduler.add_jobs(jobs[start : start + BATCH])


def left(scheduler: Scheduler) -> int:
    """How many jobs have not ended well."""
    return scheduler.store.jobs.collection.count_documents({"status": {"$ne": int(Status.DONE)}})


def add_limited(scheduler: Scheduler, folder: Path) -> None:
    scheduler.limits.set("stripe", concurrency=PLACES)
    data = {"folder": str(folder), "places": PLACES, "seconds": 0.005}
    add(scheduler, [(Limited, data, {"limits": "stripe"})] * LIMITED)


def test_the_next_job_begins_soon_after_a_place_is_free(scheduler: Scheduler, uri: str, tmp_path: Path) -> None:
    add_limited(scheduler, tmp_path)
    with Nodes(uri, tmp_path, 4, pm="static", max_children=8):
        eventually(lambda: left(scheduler) == 0, 300, "all jobs are done")
    ran = traces(tmp_path / "trace")
    begun, ended = ([float(at) for what, at, *_ in ran if what == one] for one in ("begin", "end"))
    waits = gaps(begun, ended, PLACES)
    median, worst = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
    first, last = (statistics.median(part) * 1000 for part in (waits[:1000], waits[-1000:]))
    rate = LIMITED / (max(ended) - min(begun))
    show(f"limit: a place is free for {median * 1000:.1f} ms, p99 {worst * 1000:.1f} ms; {rate:.0f} jobs a second")
    show(f"       of the first thousand {first:.1f} ms, of the last thousand {last:.1f} ms")
    assert len(begun) == len(ended) == LIMITED, "each ran once, and never too many at a time"
    assert median < 0.05


@pytest.fixture
def members(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as members:
        yield members


def test_never_too_many_are_at_work_while_processes_die(members: ReplicaSet, tmp_path: Path) -> None:
    uri = members.uri("limits")
    folder = tmp_path / "work"
    folder.mkdir()
    with Scheduler(uri) as scheduler:
        add_limited(scheduler, folder)
        with Nodes(uri, tmp_path, 4, **MORTAL) as nodes, Killer(nodes, lambda: at_work(folder), members) as killer:
            eventually(lambda: left(scheduler) < LIMITED / 50, 500, "nearly all jobs are done")
            killer.stop()
            eventually(lambda: left(scheduler) == 0, 60, "all jobs are done")
        whats = [what for what, *_ in traces(folder / "trace")]
    begun, ended = whats.count("begin"), whats.count("end")
    show(f"limit: {killer.killed}; {begun} began and {ended} ended, {whats.count('begin-too-many')} were too many")
    assert "begin-too-many" not in whats
    assert ended >= LIMITED
    assert begun > ended, "some were killed at work"


def at_work(folder: Path) -> list[int]:
    """The pids of those who had the places below a folder last."""
    return [int(path.read_text() or 0) for path in folder.rglob("place-*")]


class Drain:
    """A database in which jobs wait behind a limit, or none do, and a node that holds the place."""

    def __init__(self, uri: str, directory: Path, limited: int) -> None:
        self._uri = uri
        self._directory = directory
        directory.mkdir()
        self.scheduler = Scheduler(uri)
        self.scheduler.limits.set("stripe", concurrency=1)
        self._holder = self._node("holder", queues=["hold"], orphaned_timeout=3600)
        data = {"trace": str(directory / "t"), "until": str(directory / "until"), "seconds": 600}
        holding = self.scheduler.add_job("wait", data, limits="stripe", queue="hold")
        eventually(lambda: holding.refresh().status is Status.PROCESSING, 20, "the place is taken")
        if limited:
            copy(self.scheduler, self.scheduler.add_job("echo", limits="stripe").id, limited - 1)
        self.jobs = self.scheduler.store.jobs.collection
        assert self.jobs.count_documents({"blocked": "limit:stripe"}) == limited

    def _node(self, name: str, **options: Any) -> NodeProcess:
        return NodeProcess(self._uri, self._directory / f"{name}.log", {"max_children": 2, **options})

    def rate(self, count: int) -> float:
        """Jobs that are drained in a second."""
        add(self.scheduler, [Noop] * count)
        nodes = [self._node(name) for name in ("one", "two")]
        try:
            eventually(lambda: self._ended() >= count, 120, "all others are done")
            first, last = (self._when(order) for order in (1, -1))
        finally:
            for node in nodes:
                node.stop()
                node.destroy()
        self.jobs.delete_many({"status": int(Status.DONE)})
        return count / (last - first)

    def _ended(self) -> int:
        threading.Event().wait(0.25)
        return self.jobs.count_documents({"status": int(Status.DONE)})

    def _when(self, order: int) -> float:
        found = self.jobs.find_one({"status": int(Status.DONE)}, {"ended": 1}, sort=[("ended", order)])
        assert found is not None
        return float(found["ended"].timestamp())

    def close(self) -> None:
        self._holder.destroy()
        self.scheduler.close()


def test_jobs_behind_a_limit_slow_no_other(server_uri: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        with_limited, without = (
            Drain(server_uri.format(f"scale_{ObjectId()}"), tmp_path / str(count), count)
            for count in (OF_EACH_CLASS, 0)
        )
        for one in (with_limited, without):
            stack.callback(one.close)
            one.rate(OF_EACH_CLASS // ROUNDS // 10)
        rates: dict[Drain, list[float]] = {with_limited: [], without: []}
        for number in range(ROUNDS):
            for one in (with_limited, without) if number % 2 else (without, with_limited):
                rates[one].append(one.rate(OF_EACH_CLASS // ROUNDS))
        assert with_limited.jobs.count_documents({"blocked": "limit:stripe"}) == OF_EACH_CLASS
    beside, alone = (statistics.median(rates[one]) for one in (with_limited, without))
    show(f"beside {OF_EACH_CLASS} limited jobs {beside:.0f} a second, else {alone:.0f}: {beside / alone:.1%}")
    assert beside >= 0.95 * alone


def test_a_rate_is_kept_and_used(scheduler: Scheduler, uri: str, tmp_path: Path) -> None:
    """A start is counted when a node takes the job. The job begins as soon as a worker is free, here at once."""
    scheduler.limits.set("api", rate=RATE, per=1, burst=BURST)
    path = tmp_path / "trace"
    with Nodes(uri, tmp_path, 3, pm="static", max_children=4):
        scheduler.wait_for(scheduler.add_jobs([Noop] * 100), timeout=60)  # workers are there
        add(scheduler, [(Started, str(path), {"limits": "api"})] * (RATE * (RATED_SECONDS + 5)))
        first = float(eventually(lambda: traces(path), 10, "the first start")[0][0])
        eventually(lambda: time.time() > first + RATED_SECONDS + 0.5, RATED_SECONDS + 10)
    started = sorted(float(at) for (at,) in traces(path))
    allowed = counted(scheduler.store.database, "api", RATE)
    used, at_once = (len([at for at in allowed if at < allowed[0] + seconds]) for seconds in (RATED_SECONDS, 1))
    late = [began - at for at, began in zip(allowed, started, strict=False)]
    most = most_within(started, 1.0)
    show(f"rate: {used} starts counted in {RATED_SECONDS} s, {at_once} of them in the first; at most")
    show(f"      {most_within(allowed, 1.0)} counted and {most} begun within a second; {max(late) * 1000:.0f} ms late")
    assert most_within(allowed, 1.0) <= RATE + BURST + 1
    assert RATE * RATED_SECONDS - BURST / 2 <= used <= RATE * RATED_SECONDS + BURST + 1
    assert at_once > RATE, "the burst is used from the beginning"
    assert most <= RATE * (1 + LATE) + BURST + 1


def test_sequences_keep_their_order_while_processes_die(scheduler: Scheduler, uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    names = [f"s{number}" for number in range(SEQUENCES)]
    for name in names:
        (folder / name).mkdir(parents=True)
    jobs = []
    for number in range(LENGTH):
        for index, name in enumerate(names):
            fails = 2 if (number + index) % 10 == 0 else 0
            data = {"folder": str(folder), "sequence": name, "number": number, "fails": fails}
            jobs.append((Ordered, data, {"sequence": name, "retry": 1000, "retry_interval": fails * 0.05}))
    add(scheduler, jobs)
    with Nodes(uri, tmp_path, 4, **MORTAL) as nodes, Killer(nodes, lambda: at_work(folder)) as killer:
        eventually(lambda: left(scheduler) < len(jobs) / 50, 500, "nearly all jobs are done")
        killer.stop()
        eventually(lambda: left(scheduler) == 0, 60, "all jobs are done")
    found = steps(folder)
    wrong = {name: disorder(done) for name, done in found.items()}
    begun = sum(step.what == "begin" for done in found.values() for step in done)
    show(f"sequences: {killer.killed}; {begun} began, {sum(map(len, wrong.values()))} out of order")
    assert not any(wrong.values()), wrong
    ends = [sorted({step.number for step in done if step.what == "end"}) for done in found.values()]
    assert ends == [list(range(LENGTH))] * SEQUENCES


_ADDER = """
import json, sys, threading, time
from taskscheduler import Scheduler
uri, times, at = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with Scheduler(uri) as scheduler:
    scheduler.why()
    threading.Event().wait(at - time.time())
    added = [scheduler.add_job("noop", {"n": 1}, unique_for=3600) for _ in range(times)]
    print(json.dumps([[str(one.id), str(one.outcome)] for one in added]))
"""


def test_of_jobs_of_the_same_key_exactly_one_is_added(scheduler: Scheduler, uri: str) -> None:
    at = time.time() + 3
    adders = [
        subprocess.Popen(
            [sys.executable, "-c", _ADDER, uri, str(TIMES), str(at)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(ADDERS)
    ]
    answers = [one for adder in adders for one in json.loads(adder.communicate(timeout=200)[0])]
    took = time.time() - at
    outcomes = [outcome for _, outcome in answers]
    show(f"windows: {len(answers)} adds by {ADDERS} processes in {took:.1f} s; {outcomes.count('created')} created")
    assert len(answers) == ADDERS * TIMES
    assert outcomes.count("created") == 1
    assert len({job_id for job_id, _ in answers}) == 1, "all were told of the same job"
    assert len(list(scheduler.get_jobs({}))) == 1
