"""TurnTaker: finds the jobs of groups whose turn it is, as a node sees it.

Nothing about turns is stored. Each node takes them by what it has started itself, so the cluster is fair as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.control.keys import GroupList, read_group_list
from taskscheduler.model.control.turns import Turns
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.readable import fault_of_waiting
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.claims import Scope
from taskscheduler.store.control.group_lists import Part, Place

_PART_OF_LISTS = 4  #: when a quarter as many jobs were taken as lists wait, it is worth to read again which do

_PART_OF_TIME = 20  #: or when the last reading took a twentieth of the time since then

_LONGEST = 0.5  #: seconds for which the lists are taken to be the same

_BEHIND_LAST = 2.0  #: seconds for which a list is read from behind the job that was taken last

_NONE = Place(datetime.min.replace(tzinfo=UTC), None)

_MOST_READS = 4  #: of the first jobs of lists, in one search


class TurnTaker:
    """The groups that wait, and whose turn it is. For one thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns = Turns()
        self._looked_at = 0  #: jobs that were to be taken since the lists were read
        self._read_again = float("-inf")
        self._last: dict[GroupList, Place] = {}  #: the job of a list that was taken last; some before it may be left
        self._forget_at = float("-inf")
        self.at_head = True  #: whether the last search began at the first job of each list
        self.more = False  #: whether there may be more jobs than the last search found

    def look(self, scope: Scope) -> set[str]:
        """Returns the queues of this scope in which groups wait."""
        now = self._clock.monotonic()
        if now >= self._read_again or self._looked_at * _PART_OF_LISTS >= len(self._turns.waiting):
            lists = self._lists(scope)
            self._turns.wait(lists, self._store.controls.current().weights if lists else {})
            took = self._clock.monotonic() - now
            self._looked_at, self._read_again = 0, now + min(took * _PART_OF_TIME, _LONGEST)
        if now >= self._forget_at:
            self._last, self._forget_at = {}, now + _BEHIND_LAST
        return {one.queue for one in self._turns.waiting}

    def _lists(self, scope: Scope) -> list[GroupList]:
        served = None if scope.queues is None else [name for name in scope.queues if name not in scope.but_queues]
        found = self._store.group_lists.waiting(served)
        return [one for one in found if one.queue not in scope.but_queues]

    def find(self, scope: Scope, count: int, spare: int = 0, but_async: bool = False) -> list[Document]:
        """Returns the `count` jobs whose turn is next, in that order, and up to `spare` more of each of their groups.

        After `look`, which tells which groups wait. They are as `ClaimStore.candidates` returns waiting jobs.
        """
        passing: dict[str, Any] = {"class": {"$nin": list(scope.unknown)}} if scope.unknown else {}
        if but_async:
            passing["async"] = {"$exists": False}
        self.at_head = not self._last
        heads, sizes = dict[GroupList, list[Document]](), dict[GroupList, int]()
        for _ in range(_MOST_READS):
            planned = self._turns.plan(count, sizes)
            asked = {
                one: number + spare
                for one, number in planned.items()
                if one not in sizes and number > len(heads.get(one, ()))
            }
            if not asked:
                break
            found = self._read(asked, passing)
            heads |= found
            sizes |= {one: len(jobs) for one, jobs in found.items() if len(jobs) < asked[one]}
        self.more = len(sizes) < len(self._turns.waiting)
        return self._in_turn(heads)

    def _read(self, asked: Mapping[GroupList, int], passing: Mapping[str, Any]) -> dict[GroupList, list[Document]]:
        found = self._heads(asked, passing)
        short = {one: asked[one] for one, jobs in found.items() if len(jobs) < asked[one] and one in self._last}
        if short:
            for one in short:
                del self._last[one]
            found |= self._heads(short, passing)  # with those that were left
        if not all(found.values()):
            self._read_again = float("-inf")  # one does not wait any more
        return {one: self._well_placed(jobs) for one, jobs in found.items()}

    def _heads(self, asked: Mapping[GroupList, int], passing: Mapping[str, Any]) -> dict[GroupList, list[Document]]:
        parts = {one: Part(number, self._last.get(one)) for one, number in asked.items()}
        return self._store.group_lists.heads(parts, passing)

    def _well_placed(self, jobs: list[Document]) -> list[Document]:
        """Returns those of these jobs whose place makes sense; the others fail."""
        for job in jobs:
            if (fault := fault_of_waiting(job)) is not None:
                set_aside(self._store, job["_id"], fault, {"status": int(Status.POSTPONED)})
        return [job for job in jobs if fault_of_waiting(job) is None]

    def _in_turn(self, heads: Mapping[GroupList, list[Document]]) -> list[Document]:
        left = {one: iter(jobs) for one, jobs in heads.items()}
        return [next(left[one]) for one in self._turns.order({one: len(jobs) for one, jobs in heads.items()})]

    def take(self, jobs: Sequence[Document]) -> set[Any]:
        """Takes the turns of these jobs; returns the ids of those that may be claimed now.

        A job that another control keeps back moves to the list of that, and its group may have another turn.
        """
        free = self._store.admission.enter(jobs)
        taken = [(one, job) for job in jobs if job["_id"] in free and (one := read_group_list(job["blocked"]))]
        self._turns.took(one for one, _ in taken)
        self._looked_at += len(jobs)
        for one, job in taken:
            place = Place(job["parked_at"], job["_id"])
            if isinstance(place.at, datetime) and place > self._last.get(one, _NONE):
                self._last[one] = place
        return free


def merged(waiting: Sequence[Document], in_turn: Sequence[Document]) -> list[Document]:
    """Merges waiting jobs in claim order with jobs of groups in the order of their turns: by priority, then by age.

    The age of the oldest job of all groups counts for each of them, as it is their turns that are old.
    """
    merged_jobs, left = list[Document](), list(waiting)
    oldest = [_place(job) for job in in_turn]
    for number in range(len(oldest) - 2, -1, -1):
        if oldest[number][0] == oldest[number + 1][0]:
            oldest[number] = min(oldest[number], oldest[number + 1])
    position = 0
    for job, place in zip(in_turn, oldest, strict=True):
        while position < len(left) and _place(left[position]) <= place:
            merged_jobs.append(left[position])
            position += 1
        merged_jobs.append(job)
    return merged_jobs + left[position:]


def _place(job: Mapping[str, Any]) -> tuple[int, float]:
    at = job["at"]
    return -job["priority"], at.timestamp() if isinstance(at, datetime) else int(at) / 1000
