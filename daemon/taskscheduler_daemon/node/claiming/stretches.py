"""Stretches: where in a deep backlog this node works, when so many nodes claim from it that they share remainders.

Nodes of the same remainder would ask for the same jobs. So each of them works on a stretch of the claim order of its
own. It goes on from job to job until it meets a place where the jobs of its remainder are missing, as another node has
taken them. Then it leaps ahead, at random and not far. The node that it met comes to what it has leapt over, so nothing
is left behind, and nobody has to agree with anybody.

A leap is a seek to a place in the claim order that follows from how close to each other jobs lie. Nothing is counted,
and no index entry passed over.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.store.claims import Cursor

_FARTHEST = 4  #: a leap is at most so many times as long as what all nodes want at once

_FEW = 2  #: a node leaps if it finds less than one in so many of the jobs that it wants

_LEAST = 6  #: a gap as wide as so many jobs is not there by chance

_CLOSE = 1.5  #: jobs at the head that lie farther apart than so are what others have left

_KNOWN = 4  #: so many jobs of its remainder tell how far these lie apart

_SLOWLY = 4  #: looks over which a node learns how far jobs lie apart

_RACED = 0.9  #: a node that got less of what it asked for has met another one

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

_ID_BITS = 96

_END = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND << _ID_BITS

Jobs = Sequence[Mapping[str, Any]]


class Crew(NamedTuple):
    """The nodes that claim from one queue, in groups: each has no more than one node of a remainder."""

    group: int  #: of this node
    groups: int
    width: int  #: the number of remainders


class Part(NamedTuple):
    """What a node asks for among the jobs that it has found, and where it searches next."""

    jobs: Jobs
    go_on: Cursor | None


class Stretches:
    """Decides where in the claim order of one queue this node goes on."""

    def __init__(self) -> None:
        self._reach = float("inf")  #: how far this node leaps at most, in windows: in one it finds what it wants
        self._begun = float("inf")  #: the same if there are no jobs where its stretch would begin
        self._place: tuple[str, int] | None = None  #: the queue and priority to which all this applies
        self._apart = 0.0  #: how far the jobs of its remainder lie apart where nobody took any; 0: not known
        self._landed = False  #: whether the next search begins behind a leap
        self._raced = 0  #: how many jobs it wanted where another one was faster

    def claimed(self, asked: int, got: int) -> None:
        """Notes how many jobs a claim got: if others were faster, another node works at the same place."""
        if got < asked * _RACED:
            self._raced = asked

    def start(self, cursor: Cursor | None) -> Cursor | None:
        """Returns where to search, given where the last search ended; None: at the head."""
        if cursor is not None and self._raced and self._apart:
            cursor = self._leap(cursor, self._raced)
        self._raced = 0
        return cursor

    def ended(self, at_head: bool) -> None:
        """Notes that a search has reached the end of the backlog. One from the head shows that there is none."""
        self._reach = float("inf") if at_head else min(self._reach / 2, self._begun)
        self._begun = float("inf")
        if at_head:
            self._apart = 0.0

    def reaches(self, crew: Crew) -> bool:
        """Returns whether the backlog seems to be long enough for each group to work on a stretch of its own."""
        return crew.group <= self._reach

    def begin(self, jobs: Jobs, mine: Jobs, crew: Crew) -> Cursor | None:
        """Returns where the stretch of this node begins, given as many jobs from the head as were looked for.

        None: right there, as that of the first group does, or because the backlog does not reach so far.
        """
        self._enter(jobs)
        self._reach = min(self._reach, crew.groups * _FARTHEST)
        if not 0 < crew.group <= self._reach:
            return None
        self._landed, self._begun = True, crew.group - 1
        apart = _spacing(mine) if len(mine) >= _KNOWN else _spacing(jobs) * crew.width
        if self._apart:
            apart = min(apart, self._apart * _CLOSE)
        return _ahead(_place(jobs[0]), apart * len(jobs) / crew.width * crew.group)

    def go_on(self, jobs: Jobs, mine: Jobs, wanted: int, cursor: Cursor, crew: Crew) -> Part:
        """Returns our part of as many jobs behind the cursor as were looked for. `mine` have our remainder."""
        self._enter(jobs)
        self._reach, self._begun = min(self._reach * 2 + 1, crew.groups * _FARTHEST), float("inf")
        places = [cursor, *map(_place, mine[:wanted])]
        first, self._landed = int(self._landed), False
        count = self._until_gap(places, first, wanted)
        if count < len(places) - 1:
            here = places[count]
        elif count * _FEW < wanted:
            here = _place(jobs[-1])
        else:
            self._learn(places[first:])
            return Part(mine[:count], places[count])
        self._apart = self._apart or _spacing(jobs) * crew.width
        return Part(mine[:count], self._leap(here, wanted))

    def _enter(self, jobs: Jobs) -> None:
        place = jobs[0]["queue"], jobs[0]["priority"]
        if place != self._place:
            self._place, self._apart = place, 0.0

    def _until_gap(self, places: Sequence[Cursor], first: int, wanted: int) -> int:
        """Returns behind how many of our jobs others have taken some. The `first` gap tells nothing."""
        gaps = [after - before for before, after in pairwise(map(_coordinate, places))][first:]
        counted = sorted(gaps)[: max(1, len(gaps) - 1)]  # without the largest, which may be the one
        apart = max(sum(counted) / max(1, len(counted)), self._apart)
        wide = (number for number, gap in enumerate(gaps, first) if gap > apart * max(wanted / _FEW, _LEAST))
        return next(wide, len(places) - 1)

    def _learn(self, places: Sequence[Cursor]) -> None:
        if len(places) > 1:
            apart = (_coordinate(places[-1]) - _coordinate(places[0])) / (len(places) - 1)
            self._apart += (apart - self._apart) / (_SLOWLY if self._apart else 1)

    def _leap(self, place: Cursor, wanted: int) -> Cursor:
        self._landed = True
        return _ahead(place, self._apart * wanted * random.uniform(0, self._reach))


def _spacing(jobs: Jobs) -> float:
    return (_coordinate(_place(jobs[-1])) - _coordinate(_place(jobs[0]))) / max(1, len(jobs) - 1)


def _place(job: Mapping[str, Any]) -> Cursor:
    return Cursor(job["queue"], job["priority"], job["at"], job["_id"])


def _coordinate(place: Cursor) -> int:
    """Returns a number for a place in a queue, by which the jobs of a priority are in claim order."""
    return ((place.at - _EPOCH) // _MILLISECOND << _ID_BITS) + int.from_bytes(place.job_id.binary, "big")


def _ahead(place: Cursor, far: float) -> Cursor:
    milliseconds, number = divmod(min(_coordinate(place) + int(far), _END), 1 << _ID_BITS)
    at = _EPOCH + milliseconds * _MILLISECOND
    return Cursor(place.queue, place.priority, at, ObjectId(number.to_bytes(_ID_BITS // 8, "big")))
