"""Partition: this node's part of a backlog that others claim from, too.

Nodes that look at the head of one queue at the same time find the same jobs, and all but one of them ask in vain:
measured with four nodes, every second job. So each looks at some more jobs than it wants and asks for those whose ids
leave its own remainder. Beyond eight nodes some have the same remainder. Where the backlog is deep, each of these works
on a stretch of its own (`stretches`); where it is not, each asks for the ids that leave its rank among all nodes.

A node that finds none of its own asks for its part of the jobs that the others leave, so that nodes without work do not
ask for the same jobs either. A job that is still at the head of a queue at the second look is anybody's: no job waits
for a node that is busy for long.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.store.claims import Cursor
from taskscheduler_daemon.node.claiming.stretches import Crew, Jobs, Stretches

_WIDEST = 8  #: times the jobs that are wanted; beyond, looking at more costs more than asking in vain

_MOST_LOOKED_AT = 4000

_READ_EVERY = 4.0  #: seconds for which the other nodes are taken to be the same; more of them are asked for less often

_PER_NODE = 0.04

_FEW = 4  #: a node takes one in so many of the jobs that it wants from those that others left

_WHOLE, _GOLDEN = 2**32, 2_654_435_769  #: and so many parts of it that they have the golden ratio

_LEFT = 1.5  #: seconds after which jobs at the head of the queue are anybody's

_COURTESY = 0.05  #: seconds for which a node with free slots leaves jobs to others that come before it

_MOMENT = 0.015  #: the same for jobs of its remainder, of which another node of that remainder is to take them

_RARELY = 1.0  #: seconds between the looks of nodes that hardly ever meet

_REMEMBERED = 10  #: looks for which they count as having met

_AT_ONCE = 0.1  #: they are asked for so soon after a claim that others were faster with


class Asked(NamedTuple):
    """The jobs to ask for, and where to search next; None: behind all that were found."""

    ids: list[ObjectId]
    go_on: Cursor | None


class Partition:
    """The part of a backlog that this node should claim, so that nodes do not race for the same jobs."""

    def __init__(self, boot: ObjectId, lease: float) -> None:
        self._boot = boot
        self._lease = lease
        self._others: dict[ObjectId, frozenset[str]] = {}  #: with the queues they serve; none: all
        self._ranks: dict[str, tuple[int, int]] = {}
        self._read_at, self._read_again = float("-inf"), _READ_EVERY
        self._head: frozenset[ObjectId] = frozenset()  #: the jobs at the head of the queue at the last look there
        self._head_at = float("-inf")
        self._stretches = Stretches()
        self._full_at = float("inf")  #: when a look found that more jobs wait than it wanted; inf: they are new
        self._met = 0  #: for how many more looks it counts that others were faster
        self._none_since = float("inf")  #: since when looks find only jobs that others should ask for

    def is_old(self, now: float) -> bool:
        """Returns whether it is time to read the register of nodes again."""
        return now - self._read_at >= self._read_again

    def know(self, nodes: Iterable[Mapping[str, Any]], now: float) -> None:
        """Notes the registered nodes, except those that are silent for half a lease or can run nothing."""
        self._others = {
            node["_id"]: frozenset(node.get("queues", ()))
            for node in nodes
            if node["_id"] != self._boot
            and node["silent"] < self._lease / 2
            and "lost" not in node
            and node.get("slots") != 0
        }
        self._ranks = {}
        self._read_at = now
        self._read_again = (_READ_EVERY + _PER_NODE * len(self._others)) * random.uniform(0.75, 1.25)

    def claimed(self, asked: int, got: int) -> None:
        """Notes how many jobs a claim got: if others were faster, there may be nodes that are not known yet."""
        if got < asked:
            self._read_again, self._met = min(self._read_again, _AT_ONCE), _REMEMBERED
        self._stretches.claimed(asked, got)

    def start(self, cursor: Cursor | None) -> Cursor | None:
        """Returns where to search next, given where the last search ended; None: at the head."""
        return self._stretches.start(cursor) if self.is_crowded else cursor

    def look_at(self, wanted: int, queues: Iterable[str]) -> int:
        """Returns how many jobs to look at in order to find so many."""
        return wanted * max((self._seat(queue, wanted)[1] for queue in queues), default=1)

    def _seat(self, queue: str, wanted: int) -> tuple[int, int]:
        """Returns our remainder, and the divisor of ids, among the nodes that serve a queue."""
        rank, nodes = self._rank(queue)
        groups = -(-nodes // _WIDEST)
        width = max(1, min(-(-nodes // groups), _MOST_LOOKED_AT // max(1, wanted)))
        return rank % width, width

    def _rank(self, queue: str) -> tuple[int, int]:
        """Returns our rank among the nodes that serve a queue, and how many these are."""
        ranks = self._ranks  # another thread asks, too, and `know` begins new ones
        if queue not in ranks:
            serving = [boot for boot, queues in self._others.items() if not queues or queue in queues]
            ranks[queue] = sum(boot < self._boot for boot in serving), len(serving) + 1
        return ranks[queue]

    def is_for_us(self, job_id: ObjectId, queue: str) -> bool:
        """Returns whether a job of which all nodes hear is this node's to claim. Safe to use from any thread."""
        return _is_ours({"_id": job_id}, *self._rank(queue))

    @property
    def nodes(self) -> int:
        """How many nodes are known to claim, with this one."""
        return len(self._others) + 1

    @property
    def is_crowded(self) -> bool:
        """Whether so many nodes are known to claim that some may have the same remainder."""
        return self.nodes > _WIDEST

    @property
    def shared(self) -> bool:
        """Whether other nodes are known to claim."""
        return bool(self._others)

    def share(self, count: int, idle: int) -> int:
        """Returns how many of so many jobs that this node alone knows of it should claim: one for each idle slot.

        Of the others, its part among the nodes.
        """
        return max(idle, -(-count // self.nodes))

    def part(self, jobs: Jobs, wanted: int, full: bool, cursor: Cursor | None, now: float) -> Asked:
        """Returns what to ask for of the jobs that a search behind the cursor has found, and where to search next.

        `full`: these are as many as were looked for, so there may be more.
        """
        if not self.is_crowded or (full and not jobs):  # all that it found are paused
            return Asked(self.ours(jobs, wanted, cursor is None, now), None)
        if not full:
            if all(_is_at(job, cursor) for job in jobs):
                self._stretches.ended(at_head=cursor is None)
                self._full_at = now if cursor is not None else float("inf")
            return Asked(self._exactly_ours(jobs, wanted, cursor is None, now), None)
        places = {(job["queue"], job["priority"]) for job in jobs}
        crew = self._crew(jobs[0]["queue"], wanted)
        waited, self._full_at = now - self._full_at, now
        self._met -= 1
        if len(places) > 1 or crew.groups == 1 or (waited > _RARELY and self._met < 0):
            return Asked(self.ours(jobs, wanted, cursor is None, now), None)
        if cursor is None or (cursor.queue, cursor.priority) not in places:
            return self._at_head(jobs, wanted, cursor is None, crew, now)
        part = self._stretches.go_on(jobs, self._mine(jobs, wanted), wanted, cursor, crew)
        return Asked(self._with_others(jobs, part.jobs, wanted, False, now), part.go_on)

    def _at_head(self, jobs: Jobs, wanted: int, at_head: bool, crew: Crew, now: float) -> Asked:
        mine = self._mine(jobs, wanted)
        if (begin := self._stretches.begin(jobs, mine, crew)) is not None:
            self._none_since = float("inf")
            return Asked(self._left_by_others(jobs, (), wanted, at_head, now), begin)
        if self._stretches.reaches(crew):
            return Asked(self._with_others(jobs, mine[:wanted], wanted, at_head, now), None)
        return Asked(self._exactly_ours(jobs, wanted, at_head, now), None)

    def _exactly_ours(self, jobs: Jobs, wanted: int, at_head: bool, now: float) -> list[ObjectId]:
        """Returns the ids to ask for if all nodes together want more than waits: each takes its part of all."""
        ours = [job for job in jobs if _is_ours(job, *self._rank(job["queue"]))][:wanted]
        return self._with_others(jobs, ours, wanted, at_head, now, spare=self._mine(jobs, wanted))

    def _crew(self, queue: str, wanted: int) -> Crew:
        """Returns the groups of nodes that claim from a queue."""
        rank, nodes = self._rank(queue)
        width = self._seat(queue, wanted)[1]
        return Crew(rank // width, -(-nodes // width), width)

    def ours(self, jobs: Jobs, wanted: int, at_head: bool, now: float) -> list[ObjectId]:
        """Returns the ids to ask for: those of our remainder, and some of those that other nodes have left."""
        if not self._others:
            return [job["_id"] for job in jobs[:wanted]]
        return self._with_others(jobs, self._mine(jobs, wanted)[:wanted], wanted, at_head, now)

    def _mine(self, jobs: Jobs, wanted: int) -> Jobs:
        seats = {queue: self._seat(queue, wanted) for queue in {job["queue"] for job in jobs}}
        return [job for job in jobs if _is_ours(job, *seats[job["queue"]])]

    def _with_others(
        self, jobs: Jobs, ours: Jobs, wanted: int, at_head: bool, now: float, spare: Jobs = ()
    ) -> list[ObjectId]:
        """Returns the ids of our jobs, and of some that others left; `spare` are ours if we have none in a moment."""
        if ours or not jobs:
            self._none_since = float("inf")
        elif given_up := self._given_up(jobs, spare, wanted, now):
            return _some(given_up, wanted)
        return self._left_by_others(jobs, ours, wanted, at_head, now)

    def _left_by_others(self, jobs: Jobs, ours: Jobs, wanted: int, at_head: bool, now: float) -> list[ObjectId]:
        ids: list[ObjectId] = [job["_id"] for job in jobs]
        mine: list[ObjectId] = [job["_id"] for job in ours]
        left = self._left(ids, now) - set(mine) if at_head else frozenset()
        others = [one for one in ids if one in left] if left else []
        return mine + _some(others, min(wanted - len(mine), 1 + wanted // _FEW))

    def ours_first(self, jobs: Jobs, queue: str, wanted: int) -> list[ObjectId]:
        """Returns the ids of so many jobs of one queue: ours first, then others, since a batch waits for them."""
        seat = self._seat(queue, wanted)
        return [job["_id"] for job in sorted(jobs, key=lambda job: not _is_ours(job, *seat))[:wanted]]

    def _given_up(self, jobs: Jobs, spare: Jobs, wanted: int, now: float) -> list[ObjectId]:
        """Returns jobs of other nodes that waited long enough: our part of them or, if there is none, any."""
        self._none_since = min(self._none_since, now)
        waited = now - self._none_since
        if spare and waited >= _MOMENT:
            return [job["_id"] for job in spare]
        if waited < _COURTESY:
            return []
        seats = {queue: self._seat(queue, wanted) for queue in {job["queue"] for job in jobs}}
        helped = [job["_id"] for job in jobs if _falls_to_us(job, *seats[job["queue"]])]
        if helped:
            self._none_since = now - _COURTESY
        elif waited >= 2 * _COURTESY:
            return [job["_id"] for job in jobs]
        return helped

    def _left(self, ids: Sequence[ObjectId], now: float) -> frozenset[ObjectId]:
        """Returns the jobs at the head of the queue a while ago: if one still is there, its node is busy."""
        if now - self._head_at < _LEFT:
            return frozenset()
        before, self._head, self._head_at = self._head, frozenset(ids), now
        return before


def _is_ours(job: Mapping[str, Any], rank: int, width: int) -> bool:
    return _number(job, width) % width == rank


def _is_at(job: Mapping[str, Any], cursor: Cursor | None) -> bool:
    """Returns whether a job was found where the search began, and not before since it is urgent."""
    return cursor is None or job["priority"] <= cursor.priority


def _number(job: Mapping[str, Any], width: int) -> int:
    """Returns the number of a job, whose remainder says whose it is. Ids that follow each other are divided evenly.

    In a group every second or third id has to be as well: if a program adds jobs of two groups by turns, one of two
    nodes would have all jobs of the one group, and none of the other. Multiples of the golden ratio divide them all.
    """
    number = int.from_bytes(job["_id"].binary[-4:], "big")
    if width == 1 or "group" not in job:
        return number
    return number - number % width + ((number * _GOLDEN % _WHOLE) * width // _WHOLE)


def _falls_to_us(job: Mapping[str, Any], rank: int, width: int) -> bool:
    """Returns whether we help out with a job of another node's remainder: each of the others has a part of it."""
    rest, owner = divmod(_number(job, width), width)
    return width > 1 and (owner + 1 + rest % (width - 1)) % width == rank


def _some(ids: Sequence[ObjectId], most: int) -> list[ObjectId]:
    """Returns a few at random, and none that their own node will claim next."""
    behind = ids[len(ids) // 2 :]
    return random.sample(behind, min(most, len(behind)))
