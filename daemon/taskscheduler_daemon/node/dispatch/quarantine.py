"""Quarantine: runs suspects alone, so that what dies with one of them tells who was the cause.

A suspect of a worker runs in a worker of its own, beside everything else: a few at first, and more while none dies, up
to a limit. Those that wait for long, since the others run on, are no suspects any more: they run together as before. A
suspect of a node runs while nothing else is in flight here: nothing is claimed and no other job is sent to the manager
until it has ended.

A lost node can leave a crowd of suspects, as nobody knows what had begun there. Then a part of the crowd runs at once.
If the node dies again, that part alone is suspected once more, and each of it runs quite alone.

Nobody waits for ever. A suspect that runs for long gets company after a while, longer each time it was suspected; and
one that finds no moment without other jobs runs beside them. If the manager then dies again, nothing else is left to
wait for.

The newest suspects run first, since most of those that kill do it soon. Once one of them is found out, the others that
wait are no suspects any more.
"""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.losses import NODE, WORKER, times_suspected
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

MOST_APART = 4  #: suspects of workers that run at first, beyond the slots

MOST_WORKERS = 16  #: suspects of workers that run at once

MORE_AFTER = 3.0  #: seconds after which twice as many may run

ALONE = 30.0  #: seconds that a suspect has for itself while others wait for it; doubled by each further suspicion

LONGEST_ALONE = 3600.0

PATIENCE = 30.0  #: seconds after which a suspect of a node runs beside the jobs that have not ended

_REST = 300.0  #: seconds after that in which no suspect is waited for again

CROWD = 32  #: suspects of a node; of more, such a part runs at once, so that thousands of quick jobs take seconds

_COURTESY = 0.2  #: seconds for which other jobs are kept here; then other nodes may have them


class Next(NamedTuple):
    """What to do with attempts that were kept."""

    send: list[Attempt]
    hand_back: list[Attempt]


_NOTHING = Next([], [])


class Quarantine:
    """Keeps attempts back until they may run. Only the Dispatcher calls it, under its lock."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._suspects: list[Attempt] = []  #: kept
        self._others: list[Attempt] = []  #: kept while one is alone
        self._apart: list[Attempt] = []  #: suspects of workers that run
        self._apart_since = NEVER  #: since when others wait for them
        self._alone: list[Attempt] = []  #: suspects of a node that run
        self._alone_since = 0.0
        self._isolated_since = NEVER
        self._patient_until = NEVER
        self._rest_until = -NEVER

    @property
    def is_empty(self) -> bool:
        """Whether there is no suspect here."""
        return not (self._alone or self._suspects or self._others or self._apart)

    @property
    def alone(self) -> list[Attempt]:
        """The suspects that run while nothing else is in flight here: one, or a part of a crowd."""
        return list(self._alone)

    @property
    def _isolates(self) -> bool:
        return bool(self._alone) or any(one.suspect == NODE for one in self._suspects)

    def keep(self, attempts: list[Attempt]) -> list[Attempt]:
        """Keeps the suspects among claimed attempts, and all of them while a suspect of a node is here.

        Returns the others, which may run.
        """
        suspects = [attempt for attempt in attempts if attempt.suspect is not None]
        if not suspects and self.is_empty:
            return attempts
        self._suspects += suspects
        others = [attempt for attempt in attempts if attempt.suspect is None]
        for attempt in suspects:
            attempt.kept = True
        if not self._isolates:
            return others
        for attempt in others:
            attempt.kept = True
        self._others += others
        return []

    def review(self, now: float) -> Next:
        """Returns the attempts whose turn it is now, and those that others may run instead."""
        if self.is_empty:
            return _NOTHING
        self._forget_ended()
        hand_back = self._clear_those_beside_the_guilty() + self._clear_those_behind_the_innocent(now)
        send = self._apart_next(now)
        send += self._alone_next(now)
        self._isolated_since = min(self._isolated_since, now) if self._isolates else NEVER
        self._in_flight.closed = now - self._isolated_since > _COURTESY
        if not self._isolates:
            send += self._others
        elif self._in_flight.closed:
            hand_back += self._others
        if not self._isolates or self._in_flight.closed:
            self._others = []
        for attempt in send:
            attempt.kept, attempt.seen_at = False, now  # the manager has not heard of it until now
        return Next(send, hand_back)

    def empty(self) -> list[Attempt]:
        """Removes and returns everything that is kept."""
        kept, self._suspects, self._others = [*self._suspects, *self._others], [], []
        self._in_flight.closed = False
        return [attempt for attempt in kept if self._holds(attempt)]

    def _holds(self, attempt: Attempt) -> bool:
        return self._in_flight.get(attempt.fence.job_id.binary) is attempt

    def _forget_ended(self) -> None:
        self._suspects = [one for one in self._suspects if self._holds(one)]
        self._others = [one for one in self._others if self._holds(one)]

    def _clear_those_beside_the_guilty(self) -> list[Attempt]:
        """Returns the kept suspects that are none any more, as one that was alone has died alone."""
        ended = [one for one in (*self._apart, *self._alone) if not self._holds(one)]
        self._apart = [one for one in self._apart if self._holds(one)]
        self._alone = [one for one in self._alone if self._holds(one)]
        guilty = {one.suspect for one in ended if one.ended_as is Ending.LOST}
        return self._clear([one for one in self._suspects if one.suspect in guilty])

    def _clear_those_behind_the_innocent(self, now: float) -> list[Attempt]:
        """Returns the kept suspects of workers that are none any more, as the others have run for long."""
        if len(self._apart) < MOST_WORKERS:
            return []
        waited = now - self._apart_since
        return self._clear([one for one in self._suspects if one.suspect == WORKER and waited > alone_for(one)])

    def _clear(self, cleared: list[Attempt]) -> list[Attempt]:
        for attempt in cleared:
            attempt.cleared = True
        self._suspects = [one for one in self._suspects if not one.cleared]
        return cleared

    def _apart_next(self, now: float) -> list[Attempt]:
        waiting = self._newest(WORKER)
        self._apart_since = min(self._apart_since, now) if waiting else NEVER
        if self._isolates or not waiting:
            return []
        most = MOST_APART * 2 ** min(10, int((now - self._apart_since) // MORE_AFTER))
        chosen = waiting[: max(0, min(most, MOST_WORKERS) - len(self._apart))]
        self._take(chosen)
        self._apart += chosen
        return chosen

    def _alone_next(self, now: float) -> list[Attempt]:
        if self._alone and now - self._alone_since > alone_for(self._alone[0]):
            self._alone, self._patient_until = [], NEVER
        waiting = self._newest(NODE)
        if not waiting or self._alone or not self._in_flight.can_begin:
            return []
        if not self._others_at_work():
            self._alone, self._alone_since, self._patient_until = next_alone(waiting), now, NEVER
            self._take(self._alone)
            return list(self._alone)
        self._patient_until = min(self._patient_until, now + PATIENCE)
        if self._rest_until <= now < self._patient_until:
            return []
        if now >= self._patient_until:
            self._rest_until = now + _REST
        self._patient_until = NEVER
        self._take(waiting)
        return waiting

    def _newest(self, suspect: str) -> list[Attempt]:
        found = [one for one in self._suspects if one.suspect == suspect]
        return sorted(found, key=lambda one: one.fence.job_id, reverse=True)

    def _take(self, chosen: list[Attempt]) -> None:
        taken = set(map(id, chosen))
        self._suspects = [one for one in self._suspects if id(one) not in taken]

    def _others_at_work(self) -> bool:
        """Whether anything runs here; services apart, which never end: they pause after each loss."""
        return any(not one.kept and "service" not in one.job for one in self._in_flight.all())


def next_alone(waiting: list[Attempt]) -> list[Attempt]:
    """Returns the suspects of a node that run next: the first one, or the first ones of a crowd.

    One that is suspected again runs quite alone: else nobody could tell who is to be charged.
    """
    chosen = waiting[: max(1, len(waiting) // CROWD)]
    return [one for one in chosen if times_suspected(one.job) == 1] or chosen[:1]


def alone_for(attempt: Attempt) -> float:
    """Returns for how many seconds others wait for a suspect."""
    return min(LONGEST_ALONE, ALONE * 2.0 ** min(20, max(0, times_suspected(attempt.job) - 1)))
