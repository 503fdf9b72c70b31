"""The backlog of a queue: how many jobs wait there, and for how long the first of them has."""

from __future__ import annotations

from dataclasses import dataclass

MOST_QUEUES = 50


@dataclass(frozen=True, slots=True)
class Backlog:
    """The waiting jobs of one queue."""

    queue: str
    waiting: int  #: CAP + 1 at most; fewer if there are many queues, see `is_complete`
    oldest: float  #: seconds since the first of them was due
    is_complete: bool = True  #: whether all of them are counted
