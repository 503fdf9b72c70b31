"""Partition: this node's part of a backlog that others claim from, too.

Nodes that look at the head of one queue at the same time find the same jobs, and all but one of them ask in vain:
measured with four nodes, every second job. So each looks at some more jobs than it wants and asks for those whose ids
leave its own remainder. A node that finds none of these asks for its part of the jobs that the others leave, so that
nodes without work do not ask for the same jobs either. A job that is still at the head of a queue at the second look is
anybody's: no job waits for a node that is busy for long.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

_WIDEST = 8  #: times the jobs that are wanted; beyond, looking at more costs more than asking in vain

_MOST_LOOKED_AT = 4000

_READ_EVERY = 4.0  #: seconds for which the other nodes are taken to be the same; more of them are asked for less often

_PER_NODE = 0.04

_FEW = 4  #: a node takes one in so many of the jobs that it wants from those that others left

_WHOLE, _GOLDEN = 2**32, 2_654_435_769  #: and so many parts of it that they have the golden ratio

_LEFT = 1.5  #: seconds after which jobs at the head of the queue are anybody's

_COURTESY = 0.05  #: seconds for which a node with free slots leaves jobs to others that come before it

_AT_ONCE = 0.1  #: they are asked for so soon after a claim that others were faster with


class Partition:
    """The part of a backlog that this node should claim, so that nodes do not race for the same jobs."""

    def __init__(self, boot: ObjectId, lease: float) -> None:
        self._boot = boot
        self._lease = lease
        self._others: dict[ObjectId, frozenset[str]] = {}  #: with the queues they serve; none: all
        self._seats: dict[str, tuple[int, int]] = {}
        self._read_at, self._read_again = float("-inf"), _READ_EVERY
        self._head: frozenset[ObjectId] = frozenset()  #: the jobs at the head of the queue at the last look there
        self._head_at = float("-inf")
        self._none_since = float("inf")  #: since when looks find only jobs that others should ask for

    def is_old(self, now: float) -> bool:
        """Returns whether it is time to read the register of nodes again."""
        return now - self._read_at >= self._read_again

    def know(self, nodes: Iterable[Mapping[str, Any]], now: float) -> None:
        """Notes the registered nodes, except those that are silent for half a lease or can run nothing."""
        self._others = {
            node["_id"]: frozenset(node.get("queues", ()))
            for node in nodes
            if node["silent"] < self._lease / 2 and "lost" not in node and node.get("slots") != 0
        }
        self._others.pop(self._boot, None)
        self._seats = {}
        self._read_at = now
        self._read_again = (_READ_EVERY + _PER_NODE * len(self._others)) * random.uniform(0.75, 1.25)

    def claimed(self, asked: int, got: int) -> None:
        """Notes how many jobs a claim got: if others were faster, there may be nodes that are not known yet."""
        if got < asked:
            self._read_again = min(self._read_again, _AT_ONCE)

    def look_at(self, wanted: int, queues: Iterable[str]) -> int:
        """Returns how many jobs to look at in order to find so many."""
        return wanted * max((self._seat(queue, wanted)[1] for queue in queues), default=1)

    def _seat(self, queue: str, wanted: int) -> tuple[int, int]:
        """Returns our remainder, and the divisor of ids, among the nodes that serve a queue."""
        if queue not in self._seats:
            serving = [boot for boot, queues in self._others.items() if not queues or queue in queues]
            self._seats[queue] = sum(boot < self._boot for boot in serving), len(serving) + 1
        rank, nodes = self._seats[queue]
        width = max(1, min(nodes, _WIDEST, _MOST_LOOKED_AT // max(1, wanted)))
        return rank % width, width

    @property
    def nodes(self) -> int:
        """How many nodes are known to claim, with this one."""
        return len(self._others) + 1

    @property
    def shared(self) -> bool:
        """Whether other nodes are known to claim."""
        return bool(self._others)

    def share(self, count: int, idle: int) -> int:
        """Returns how many of so many jobs that this node alone knows of it should claim: one for each idle slot.

        Of the others, its part among the nodes.
        """
        return max(idle, -(-count // self.nodes))

    def ours(self, jobs: Sequence[Mapping[str, Any]], wanted: int, at_head: bool, now: float) -> list[ObjectId]:
        """Returns the ids to ask for: ours, and some of those that other nodes have left."""
        ids: list[ObjectId] = [job["_id"] for job in jobs]
        if not self._others:
            return ids[:wanted]
        seats = {queue: self._seat(queue, wanted) for queue in {job["queue"] for job in jobs}}
        mine = [job["_id"] for job in jobs if _is_ours(job, *seats[job["queue"]])][:wanted]
        left = self._left(ids, now) if at_head else frozenset()
        if mine or not ids:
            self._none_since = float("inf")
        elif given_up := self._given_up(jobs, seats, now):
            return _some(given_up, wanted)
        left -= set(mine)
        others = [one for one in ids if one in left] if left else []
        return mine + _some(others, min(wanted - len(mine), 1 + wanted // _FEW))

    def ours_first(self, jobs: Sequence[Mapping[str, Any]], queue: str, wanted: int) -> list[ObjectId]:
        """Returns the ids of so many jobs of one queue: ours first, then others, since a batch waits for them."""
        seat = self._seat(queue, wanted)
        return [job["_id"] for job in sorted(jobs, key=lambda job: not _is_ours(job, *seat))[:wanted]]

    def _given_up(
        self, jobs: Sequence[Mapping[str, Any]], seats: Mapping[str, tuple[int, int]], now: float
    ) -> list[ObjectId]:
        """Returns jobs of other nodes that waited long enough: our part of them or, if there is none, any."""
        self._none_since = min(self._none_since, now)
        waited = now - self._none_since
        if waited < _COURTESY:
            return []
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
