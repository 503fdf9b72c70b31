"""Simulates clusters that no test machine holds: `.venv/bin/python -m tests.scale.simulate`. Pure, with a fixed seed.

    claims    nodes that work off one queue with the product's own division (Partition), and without it
    herd      what one added job sets off in an idle cluster
    sweeps    the reads and writes of nodes that have nothing to do

The rates of the database are assumptions, named below; the conflicts hardly depend on them, the loads are per second.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.store.claims import Cursor
from taskscheduler_daemon.node.claiming.partition import Asked, Partition
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.claiming.stretches import Jobs
from taskscheduler_daemon.node.maintenance.duty import POLL
from taskscheduler_daemon.node.state.lease import RENEWALS

SEED = 20
QUEUE = "default"
SIZES = (4, 8, 16, 32, 64, 128, 1000)
LOOKS = (5, 20, 50)  #: milliseconds from a look to the effect of its claim
LOADS = (4, 8, 16, 64, 100, 1000)
SHORT, MANY = (20, 100, 300, 1500, 6000, 12_000), 64  #: jobs of short backlogs, and the nodes that find them
LEASE = 30.0
RATE = 15_000.0  #: jobs per second that the database carries, whoever runs them
JOBS, CLAIMS = 40_000, 6_000  #: a simulation ends with half of these jobs, or after so many claims
AHEAD = 0.1  #: seconds of work for which a node claims
HEARD, PAUSE = 0.02, 0.02  #: seconds within which idle nodes hear of new jobs; that a node leaves jobs to others
LOOK, PER_JOB = 0.005, 40e-6  #: seconds from a look to the effect of its claim: of any, and for each job
SLOTS = 2
STREAM, TRY = 40e-6, 150e-6  #: seconds of the server: for a stream that looks at a write, for a try to take a job
NODE_BYTES = 420  #: of a registered node with two workers


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cluster did with a backlog."""

    conflicts: float  #: the part of the jobs asked for that somebody else had taken
    looked_at: float  #: jobs that were looked at for one that was got
    searches: float  #: for one claim
    early: float  #: seconds by which the first percent of the jobs was claimed before its turn, at an even pace
    late: float  #: and the last percent behind it
    seconds: float  #: until the last claim


class Backlog:
    """Waiting jobs in the order of the index."""

    def __init__(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self.jobs = jobs
        self._keys = [(job["at"], job["_id"]) for job in jobs]
        self._place = {job["_id"]: number for number, job in enumerate(jobs)}
        self._next = list(range(len(jobs) + 1))  #: the first place from here on that is not taken
        self.claimed: dict[int, float] = {}

    def _first(self, place: int) -> int:
        while self._next[place] != place:
            self._next[place] = self._next[self._next[place]]
            place = self._next[place]
        return place

    def look(self, cursor: Cursor | None, count: int) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        place = self._first(0 if cursor is None else bisect_right(self._keys, (cursor.at, cursor.job_id)))
        while len(found) < count and place < len(self.jobs):
            found.append(self.jobs[place])
            place = self._first(place + 1)
        return found

    def take(self, asked: Sequence[ObjectId], now: float) -> int:
        places = [place for place in map(self._place.__getitem__, asked) if self._next[place] == place]
        for place in places:
            self._next[place] = place + 1
            self.claimed[place] = now
        return len(places)


def added_at_once(count: int) -> list[Mapping[str, Any]]:
    """Jobs that one program adds, 30 in a millisecond."""
    return [_job(number // 30, ObjectId(f"{number:024x}")) for number in range(count)]


def added_by_many(count: int) -> list[Mapping[str, Any]]:
    """Jobs that many programs add, one now and then."""
    chance, milliseconds, jobs = random.Random(SEED), 0.0, []
    for _ in range(count):
        milliseconds += chance.expovariate(1.5)
        jobs.append(_job(int(milliseconds), ObjectId(chance.randbytes(12))))
    return sorted(jobs, key=lambda job: (job["at"], job["_id"]))


def _job(milliseconds: int, job_id: ObjectId) -> Mapping[str, Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return {"_id": job_id, "queue": QUEUE, "priority": 0, "at": at}


class Remainders(Partition):
    """The same division without stretches."""

    def start(self, cursor: Cursor | None) -> Cursor | None:
        return cursor

    def part(self, jobs: Jobs, wanted: int, full: bool, cursor: Cursor | None, now: float) -> Asked:
        return Asked(self.ours(jobs, wanted, cursor is None, now), None)


class Node:
    """Searches and claims as a claimer does."""

    def __init__(self, partition: Partition, nodes: int, look: float) -> None:
        self.partition = partition
        self._look = look
        self.search = Search([QUEUE])
        self._wanted = max(SLOTS, round(AHEAD * RATE / nodes))
        self._pace = RATE / nodes
        self._sweep_at = random.uniform(0, POLL)
        self.asked: list[ObjectId] = []
        self.looked_at = 0

    def find(self, backlog: Backlog, now: float) -> float:
        """Searches once; returns the seconds until the claim has its effect, or the next search."""
        if now >= self._sweep_at:
            self._sweep_at = now + POLL * random.uniform(0.75, 1.25)
            self.search.look_everywhere()
        self.search.begin_everywhere()
        cursor, look_at = self.partition.start(self.search.cursor), self.partition.look_at(self._wanted, [QUEUE])
        found = backlog.look(cursor, look_at)
        self.looked_at += len(found)
        self.asked, go_on = self.partition.part(found, self._wanted, len(found) >= look_at, cursor, now)
        self.search.found(found, look_at, left=len(self.asked) < len(found), go_on=go_on)
        if cursor is not None and len(found) < look_at and self.partition.shared:
            self.search.look_everywhere()
        leave = not self.asked and go_on is None and (found or (cursor is not None and self.partition.is_crowded))
        pause = PAUSE if leave else 0.0
        rest = PER_JOB * len(self.asked) + pause if self.search.more else max(0.0, self._sweep_at - now)
        return self._look + rest

    def claim(self, backlog: Backlog, now: float) -> tuple[int, float]:
        """Returns how many jobs the claim got, and for how many seconds these keep the node busy."""
        got = backlog.take(self.asked, now)
        self.partition.claimed(len(self.asked), got)
        return got, got / self._pace * random.uniform(0.8, 1.2)


def claims(
    nodes: int,
    backlog: Sequence[Mapping[str, Any]],
    most: int,
    division: type[Partition] | None = Partition,
    look: float = LOOK,
) -> Outcome:
    """Nodes of equal speed claim from one queue, until they have got so many jobs. Without a division: None."""
    random.seed(SEED)
    waiting = Backlog(backlog)
    cluster = [Node(one, nodes, look) for one in _partitions(division or Partition, nodes, division is not None)]
    short = len(backlog) <= most  # the nodes are idle, hear of the jobs and search at about the same time
    spread = HEARD if short else AHEAD
    events = [(random.uniform(0, spread), number, False) for number in range(nodes)]
    heapq.heapify(events)
    asked = got = count = searches = 0
    now = 0.0
    while got < most and count < CLAIMS:
        now, number, is_claim = heapq.heappop(events)
        node = cluster[number]
        if is_claim:
            taken, busy = node.claim(waiting, now)
            asked, got, count = asked + len(node.asked), got + taken, count + 1
            heapq.heappush(events, (now + busy, number, False))
        else:
            searches += 1
            heapq.heappush(events, (now + node.find(waiting, now), number, bool(node.asked)))
    late = sorted(at - place * now / got for place, at in waiting.claimed.items())
    looked_at = sum(node.looked_at for node in cluster)
    edge = len(late) // 100
    return Outcome(1 - got / asked, looked_at / got, searches / count, -late[edge], late[-1 - edge], now)


def _partitions(division: type[Partition], nodes: int, are_known: bool) -> list[Partition]:
    boots = [ObjectId(f"{number:024x}") for number in range(nodes)]
    made = [division(boot, LEASE) for boot in boots]
    for partition in made if are_known else ():
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


def _long_backlogs() -> Iterator[str]:
    yield "nodes  conflicts  remainders  undivided  looked at  searches   early    late"
    for nodes in SIZES:
        backlog = added_at_once(JOBS)
        one, other, none = (claims(nodes, backlog, JOBS // 2, kind) for kind in (Partition, Remainders, None))
        shares = f"{one.conflicts:>10.1%} {other.conflicts:>11.1%} {none.conflicts:>10.1%}"
        cost = f"{one.looked_at:>10.1f} {one.searches:>9.2f}"
        yield f"{nodes:>5} {shares} {cost} {one.early:>5.1f} s {one.late:>5.1f} s"


def _short_backlogs() -> Iterator[str]:
    yield f" jobs  conflicts  remainders  looked at  all claimed      ({MANY} nodes)"
    for count in SHORT:
        one, other = (claims(MANY, added_at_once(count), count, kind) for kind in (Partition, Remainders))
        shares = f"{one.conflicts:>10.1%} {other.conflicts:>11.1%}"
        yield f"{count:>5} {shares} {one.looked_at:>10.1f} {one.seconds:>10.2f} s"


def _slow_servers() -> Iterator[str]:
    yield f"   ms  conflicts  remainders  looked at      ({MANY} nodes)"
    for milliseconds in LOOKS:
        backlog, look = added_at_once(JOBS), milliseconds / 1000
        one, other = (claims(MANY, backlog, JOBS // 2, kind, look) for kind in (Partition, Remainders))
        yield f"{milliseconds:>5} {one.conflicts:>10.1%} {other.conflicts:>11.1%} {one.looked_at:>10.1f}"


def report() -> Iterator[str]:
    """The lines that the documentation quotes."""
    yield from _long_backlogs()
    yield ""
    yield from _short_backlogs()
    yield ""
    yield from _slow_servers()
    yield ""
    yield f"{'nodes':>5} {'beats/s':>8} {'sweeps/s':>9} {'peak/0.1 s':>11} {'node documents read/s':>22} {'MB/s':>6}"
    for nodes in LOADS:
        rate, peak = sweeps(nodes)
        read = rate / 2 * nodes
        beats = nodes * RENEWALS / LEASE
        yield f"{nodes:>5} {beats:>8.1f} {rate:>9.1f} {peak:>11} {read:>22.0f} {read * NODE_BYTES / 1e6:>6.1f}"
    yield ""
    yield f"{'nodes':>5} {'server time per add':>20} {'adds/s that fill a core':>24}"
    for nodes in LOADS:
        busy, fill = herd(nodes)
        yield f"{nodes:>5} {busy * 1000:>17.1f} ms {fill:>24.0f}"


if __name__ == "__main__":
    print("\n".join(report()))  # noqa: T201
