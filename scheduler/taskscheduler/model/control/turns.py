"""Turns: whose job comes next while several groups wait. Pure; each node takes turns by itself.

Start-time fair queueing: each list has the virtual time at which its next job starts, and the earliest is next. A job
moves the time of its list on by 1/weight. A list that begins to wait starts at the time that has been reached, or where
it ended if that is later. So no group saves up turns while it has no jobs, and none gets more of them by having a job
only now and then. A higher priority goes first. See Goyal, Vin and Cheng, 1996.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

from taskscheduler.model.control.groups import DEFAULT_WEIGHT
from taskscheduler.model.control.keys import GroupList

_Heap = list[tuple[float, GroupList]]


class Turns:
    """The lists that wait, as one node knows them, and when it is their turn."""

    def __init__(self) -> None:
        self.waiting: frozenset[GroupList] = frozenset()
        self._weights: Mapping[str, float] = {}
        self._starts: dict[GroupList, float] = {}
        self._now: dict[int, float] = {}  #: the time that has been reached, by priority
        self._heaps: dict[int, _Heap] = {}  #: by priority; also entries of lists whose time has moved on

    def wait(self, lists: Iterable[GroupList], weights: Mapping[str, float]) -> None:
        """Notes which lists wait now, and the weights of groups."""
        before, self.waiting, self._weights = self.waiting, frozenset(lists), weights
        for one in self.waiting - before:
            self._starts[one] = max(self._starts.get(one, 0.0), self._time(one))
        if not self.waiting:
            self._starts, self._now = {}, {}
        elif before != self.waiting:
            ahead = {one: at for one, at in self._starts.items() if one in self.waiting or at > self._time(one)}
            self._starts = ahead
        self._heaps = self._by_priority(self.waiting)

    def _by_priority(self, lists: Iterable[GroupList]) -> dict[int, _Heap]:
        heaps: dict[int, _Heap] = {}
        for one in lists:
            heaps.setdefault(one.priority, []).append((self._starts.get(one, self._time(one)), one))
        for heap in heaps.values():
            heapify(heap)
        return heaps

    def _time(self, one: GroupList) -> float:
        return self._now.get(one.priority, 0.0)

    def _step(self, one: GroupList) -> float:
        return 1 / self._weights.get(one.group, DEFAULT_WEIGHT)

    def plan(self, count: int, sizes: Mapping[GroupList, int]) -> Counter[GroupList]:
        """Returns how many jobs of which lists come next. `sizes`: how many a list has, where that is known."""
        planned: list[GroupList] = []
        for priority in sorted(self._heaps, reverse=True):
            if len(planned) < count:
                planned += self._next(self._heaps[priority], count - len(planned), sizes)
        return Counter(planned)

    def order(self, sizes: Mapping[GroupList, int]) -> list[GroupList]:
        """Returns whose job is next, then whose, until all jobs of these lists have had their turn."""
        heaps = self._by_priority(sizes)
        ordered = [self._next(heaps[priority], sum(sizes.values()), sizes) for priority in sorted(heaps, reverse=True)]
        return [one for lists in ordered for one in lists]

    def _next(self, heap: _Heap, count: int, sizes: Mapping[GroupList, int]) -> list[GroupList]:
        chosen, counts = list[GroupList](), Counter[GroupList]()
        looked_at, again = _Heap(), _Heap()  #: entries of the heap, and those that follow them
        while len(chosen) < count and (heap or again):
            if again and (not heap or again[0] <= heap[0]):
                start, one = heappop(again)
            else:
                start, one = heappop(heap)
                if start != self._starts.get(one, start):
                    continue
                looked_at.append((start, one))
            if counts[one] < sizes.get(one, count):
                chosen.append(one)
                counts[one] += 1
                heappush(again, (start + self._step(one), one))
        for entry in looked_at:
            heappush(heap, entry)
        return chosen

    def took(self, lists: Iterable[GroupList]) -> None:
        """Notes whose jobs had their turn."""
        for one in lists:
            start = self._starts.get(one, self._time(one))
            self._now[one.priority] = max(self._time(one), start)
            self._starts[one] = start + self._step(one)
            if one in self.waiting:
                heappush(self._heaps[one.priority], (self._starts[one], one))
