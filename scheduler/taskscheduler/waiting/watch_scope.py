"""WatchScope: whose changes a stream shows: those of a few jobs while these stay the same, else those of all jobs.

A stream of all jobs costs its client time for each change in the cluster. A stream of some jobs must be opened anew for
each further one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from bson import ObjectId

from taskscheduler.store.change_feed import Token, reaches

FEW = 100  #: jobs, up to which a stream of them alone is opened

QUIET = 1.0  #: seconds without a further job, after which it is; and between two that are opened for further ones


class Shown(NamedTuple):
    """What a stream has to show from now on."""

    ids: list[ObjectId] | None  #: None: all jobs
    after: Token | None  #: the place to go back to; None: it goes on where it is


class WatchScope:
    """Decides whose changes a stream shows. Its owner locks it."""

    def __init__(self, watched: Collection[ObjectId], now: float) -> None:
        self._shown: set[ObjectId] | None = set(watched) if len(watched) <= FEW else None
        self._selected_at = self._grown_at = now
        self._missing: set[ObjectId] = set()
        self._begin: Token | None = None  #: the place that the stream had reached when the first of them was added
        self._repeated_until: Token | None = None  #: up to there, only changes of `_late` are new
        self._late: set[ObjectId] = set()

    @property
    def ids(self) -> list[ObjectId] | None:
        """The jobs whose changes the stream shows; None: all."""
        return None if self._shown is None else list(self._shown)

    def add(self, ids: Iterable[ObjectId], place: Token | None, now: float) -> bool:
        """Notes further jobs when the stream is at this place; returns whether it does not show all of them."""
        self._grown_at = now
        if self._shown is None:
            return False
        if not self._missing:
            self._begin = place
        self._missing |= set(ids) - self._shown
        return bool(self._missing)

    def next(self, watched: Collection[ObjectId], place: Token | None, now: float) -> Shown | None:
        """Returns what a stream at this place has to show instead; None if it shows the right jobs."""
        if self._missing:
            is_early = now - self._selected_at < QUIET
            self._show(None if is_early or len(watched) > FEW else set(watched), now)
            self._repeated_until, self._late, self._missing = place, self._missing, set()
            return Shown(self.ids, self._begin)
        if self._shown is None and len(watched) <= FEW and now - self._grown_at >= QUIET:
            self._show(set(watched), now)
            return Shown(self.ids, None)
        return None

    def _show(self, shown: set[ObjectId] | None, now: float) -> None:
        self._shown, self._selected_at = shown, now

    def is_repeated(self, job_id: ObjectId, place: Token) -> bool:
        """Returns whether the change of a job at this place was shown before the stream went back."""
        return self._repeated_until is not None and job_id not in self._late and reaches(self._repeated_until, place)
