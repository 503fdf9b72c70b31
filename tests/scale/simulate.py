"""Simulates clusters that no test machine holds: `.venv/bin/python -m tests.scale.simulate`. Pure, with a fixed seed.

    claims    nodes that work off one queue with the product's own division (Partition), and without it
    herd      what one added job sets off in an idle cluster
    sweeps    the reads and writes of nodes that have nothing to do

The rates of the database are assumptions, named below; the conflicts hardly depend on them, the loads are per second.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

from bson import ObjectId

from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.maintenance.duty import POLL
from taskscheduler_daemon.node.state.lease import RENEWALS

SEED = 20
QUEUE = "default"
SIZES = (4, 8, 16, 100, 1000)
LEASE = 30.0
RATE = 15_000.0  #: jobs per second that the database carries, whoever runs them
JOBS, CLAIMS = 40_000, 6_000  #: a simulation ends with half of these jobs, or after so many claims
AHEAD = 0.1  #: seconds of work for which a node claims
LOOK, PER_JOB = 0.005, 40e-6  #: seconds from a look to the effect of its claim: of any, and for each job
SLOTS = 2
STREAM, TRY = 40e-6, 150e-6  #: seconds of the server: for a stream that looks at a write, for a try to take a job
NODE_BYTES = 420  #: of a registered node with two workers


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cluster did with a backlog."""

    conflicts: float  #: the part of the jobs asked for that somebody else had taken
    looked_at: float  #: jobs that were looked at for one that was got


class Backlog:
    """Waiting jobs in the order of the index."""

    def __init__(self, count: int) -> None:
        self.ids = [ObjectId(f"{number:024x}") for number in range(count)]
        self.place = {job_id: number for number, job_id in enumerate(self.ids)}
        self._next = list(range(count + 1))  #: the first place from here on that is not taken

    def first(self, place: int) -> int:
        while self._next[place] != place:
            self._next[place] = self._next[self._next[place]]
            place = self._next[place]
        return place

    def look(self, place: int, count: int) -> list[ObjectId]:
        found: list[ObjectId] = []
        place = self.first(place)
        while len(found) < count and place < len(self.ids):
            found.append(self.ids[place])
            place = self.first(place + 1)
        return found

    def take(self, asked: list[ObjectId]) -> int:
        places = [place for place in map(self.place.__getitem__, asked) if self._next[place] == place]
        for place in places:
            self._next[place] = place + 1
        return len(places)


def claims(nodes: int, divided: bool) -> Outcome:
    """Nodes of equal speed claim from one queue."""
    random.seed(SEED)
    backlog, partitions = Backlog(JOBS), _partitions(nodes if divided else 1, nodes)
    wanted = max(SLOTS, round(AHEAD * RATE / nodes))
    pause = wanted / (RATE / nodes)
    events: list[tuple[float, int, list[ObjectId] | None]] = [
        (random.uniform(0, pause), node, None) for node in range(nodes)
    ]
    heapq.heapify(events)
    marks, asked, got, looked_at, count = [0] * nodes, 0, 0, 0, 0
    while got < JOBS // 2 and count < CLAIMS:
        now, node, claim = heapq.heappop(events)
        if claim is None:
            found = backlog.look(marks[node], partitions[node].look_at(wanted, [QUEUE]))
            claim = partitions[node].ours([{"_id": job_id, "queue": QUEUE} for job_id in found], wanted, False, now)
            looked_at += len(found)
            marks[node] = backlog.place[found[-1]] if found else 0
            heapq.heappush(events, (now + LOOK + PER_JOB * len(claim), node, claim))
        else:
            taken = backlog.take(claim)
            asked, got, count = asked + len(claim), got + taken, count + 1
            busy = pause * random.uniform(0.8, 1.2) * taken / wanted
            heapq.heappush(events, (now + busy, node, None))
    return Outcome(1 - got / asked, looked_at / got)


def _partitions(known: int, nodes: int) -> list[Partition]:
    boots = [ObjectId(f"{number:024x}") for number in range(nodes)]
    made = [Partition(boot, LEASE) for boot in boots]
    for partition in made if known > 1 else ():
        partition.know([{"_id": boot, "silent": 0.0} for boot in boots], 0.0)
    return made


def sweeps(nodes: int, seconds: int = 60) -> tuple[float, int]:
    """Looks of idle nodes per second, and the most in any tenth of a second."""
    chance = random.Random(SEED)
    buckets: dict[int, int] = {}
    for _ in range(nodes):
        at = chance.uniform(0, POLL)
        while at < seconds:
            buckets[int(at * 10)] = buckets.get(int(at * 10), 0) + 1
            at += POLL * chance.uniform(0.75, 1.25)
    return sum(buckets.values()) / seconds, max(buckets.values())


def herd(nodes: int) -> tuple[float, float]:
    """What one job sets off that is added to an idle cluster: seconds of the server, and such jobs per core and second.

    Every node hears of it from its stream and tries to take it by its id; all but one in vain.
    """
    busy = nodes * (STREAM + TRY)
    return busy, 1 / busy


def report() -> Iterator[str]:
    """The lines that the documentation quotes."""
    yield f"{'nodes':>5} {'conflicts':>10} {'undivided':>10} {'looked at per job':>18}"
    for nodes in SIZES:
        divided, plain = claims(nodes, True), claims(nodes, False)
        yield f"{nodes:>5} {divided.conflicts:>10.1%} {plain.conflicts:>10.1%} {divided.looked_at:>18.1f}"
    yield ""
    yield f"{'nodes':>5} {'beats/s':>8} {'sweeps/s':>9} {'peak/0.1 s':>11} {'node documents read/s':>22} {'MB/s':>6}"
    for nodes in SIZES:
        rate, peak = sweeps(nodes)
        read = rate / 2 * nodes
        beats = nodes * RENEWALS / LEASE
        yield f"{nodes:>5} {beats:>8.1f} {rate:>9.1f} {peak:>11} {read:>22.0f} {read * NODE_BYTES / 1e6:>6.1f}"
    yield ""
    yield f"{'nodes':>5} {'server time per add':>20} {'adds/s that fill a core':>24}"
    for nodes in SIZES:
        busy, fill = herd(nodes)
        yield f"{nodes:>5} {busy * 1000:>17.1f} ms {fill:>24.0f}"


if __name__ == "__main__":
    print("\n".join(report()))  # noqa: T201
