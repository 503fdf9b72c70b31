"""Measures what the database alone takes for the layers of a flow: nobody runs the jobs.

`.venv/bin/python -m tests.scale.layers [WIDE] [DEEP] [ROUNDS]` does with the product's own reads and writes what a node
does when all jobs of a layer have ended: it writes the ends, looks whether that completes the next layer and what is in
it, and claims that. It prints the milliseconds of each step for a layer, and how many jobs a second that would be.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bson import ObjectId

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.declarations.flows import FlowJob
from taskscheduler.model.metrics.counts import EVERYTHING_ELSE
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.claimed_job import ClaimedJob
from taskscheduler.store.claims import ALL_JOBS, WAITING, Claimable, successors
from taskscheduler.store.fence import Fence
from taskscheduler.store.lenient_reads import ONLY_ID, read_ids
from taskscheduler_daemon.demo.environment import embedded_server
from taskscheduler_daemon.node.claiming.successors import lists_of
from taskscheduler_daemon.node.completion.parted_writes import PartedWrites
from tests.support.jobs import Noop

_WIDE, _DEEP, _ROUNDS = 100, 50, 3

_LASTED, _PEAK = 0.001, 50_000_000

Held = dict[ObjectId, tuple[ClaimedJob, str]]  #: claimed jobs, with their claims


class Layers:
    """Goes through the layers of a flow."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._store = scheduler.store
        self._boot = ObjectId()
        self._writes = PartedWrites(self._store)
        self._pool = ThreadPoolExecutor(1)
        self.seconds: dict[str, list[float]] = defaultdict(list)  #: of each step, for each layer

    def close(self) -> None:
        self._writes.close()
        self._pool.shutdown()

    def run(self, first: Sequence[ObjectId]) -> int:
        """Runs all layers, the first of which is that; returns the number of jobs."""
        held, count = self._claim(first, WAITING), len(first)
        while held:
            with self._noted("ends"):
                self._end(held)
            member = next(iter(held.values()))[0].member
            assert member is not None
            with self._noted("look"):
                assert not self._store.flow_effects.joins.incomplete(member.joins)
            with self._noted("find"):
                jobs = self._store.flow_effects.joins.dependents(member.joins, len(held))
            ids = [job["_id"] for job in jobs]
            with self._noted("claim"):
                held = self._claim(ids, successors(lists_of(jobs), ALL_JOBS, self._store.clock.now())) if ids else {}
            count += len(held)
        return count

    @contextmanager
    def _noted(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[step].append(time.monotonic() - began)

    def _claim(self, ids: Sequence[ObjectId], claimable: Claimable) -> Held:
        """Claims jobs as a node does, in two parts at once."""
        third = len(ids) // 3
        other = self._pool.submit(self._claim_part, ids[:third], claimable)
        held = {**self._claim_part(ids[third:], claimable), **other.result()}
        assert len(held) == len(ids)
        return held

    def _claim_part(self, ids: Sequence[ObjectId], claimable: Claimable) -> Held:
        claim = uuid.uuid4().hex
        self._store.claims.claim(ids, claim, self._boot, "layers", claimable)
        return {one.id: (one, claim) for one in self._store.claims.claimed(claim, self._boot)}

    def _end(self, held: Held) -> None:
        now, worker = self._store.clock.now().timestamp(), str(ObjectId())
        ends = [
            QuickEnd(Fence(one.id, claim, 1), worker, now, _LASTED, _LASTED, _PEAK, EVERYTHING_ELSE, None, one.member)
            for one, claim in held.values()
        ]
        assert self._writes.write((), 0, ends) == len(held)


def flow_of(wide: int, deep: int) -> Flow:
    """Layers of jobs, each of which comes after all jobs of the layer before."""
    flow, before = Flow("layers"), list[FlowJob]()
    for _ in range(deep):
        before = [flow.add(Noop, after=before) for _ in range(wide)]
    return flow


def measured(uri: str, wide: int, deep: int) -> dict[str, float]:
    """The milliseconds of each step for a layer in the median, and the jobs a second over all."""
    with Scheduler(uri) as scheduler:
        layers = Layers(scheduler)
        try:
            added = scheduler.flows.add(flow_of(wide, deep))
            waiting = {"flow": added.id, "status": int(Status.WAITING)}
            first = read_ids(scheduler.store.jobs.collection, lambda jobs: jobs.find(waiting, ONLY_ID))
            began = time.monotonic()
            count = layers.run(first)
            rate = count / (time.monotonic() - began)
        finally:
            layers.close()
            scheduler.store.drop()
    assert count == wide * deep
    steps = {step: 1000 * statistics.median(seconds) for step, seconds in layers.seconds.items()}
    return {**steps, "jobs/s": rate}


def main(given: Iterable[str]) -> None:
    """Prints a line for each round."""
    numbers = [*map(int, given)]
    wide, deep, rounds = [*numbers, *[_WIDE, _DEEP, _ROUNDS][len(numbers) :]]
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-layers-"))
    try:
        with embedded_server(directory / "server") as server:
            for _ in range(rounds):
                found = measured(server.uri.replace("/taskscheduler?", f"/layers_{ObjectId()}?"), wide, deep)
                print("  ".join(f"{step} {value:.1f}" for step, value in found.items()))  # noqa: T201
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
