"""Counts of attempts: by how they ended, how long they waited and how long they ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler.model.sound import sound

#: how the attempts ended after which the job has ended
FINAL_OUTCOMES = ("done", "failed", "timeout", "canceled")

#: how the others ended; the job is queued again
REPEATED_OUTCOMES = ("retried", "snoozed", "lost", "returned")

OUTCOMES = (*FINAL_OUTCOMES, *REPEATED_OUTCOMES)

_REPEATED = {
    Ending.SNOOZED: "snoozed",
    Ending.LOST: "lost",
    Ending.SUSPECTED: "lost",
    Ending.RETURNED: "returned",
    Ending.UNSTARTED: "returned",
}

_LONGEST_NAME = 200

#: by the number of the status that the job has then; empty: it is queued again
_OF_STATUS = [status.label if status.is_final else "" for status in Status]

OTHER = "other"  #: stands for the classes and queues for which there is no room

MOST_SERIES = 200  #: pairs of class and queue that are told apart in an hour

_MOST_PAIRS = 150  #: of them; the rest is for classes of which not every queue has room


class Series(NamedTuple):
    """What is counted together: the attempts at jobs of one class in one queue."""

    job: str
    queue: str


EVERYTHING_ELSE = Series(OTHER, OTHER)


def series_of(job: Mapping[str, Any]) -> Series:
    """Returns the series of a stored job."""
    return Series(sound(job, "class", OTHER), sound(job, "queue", OTHER))


class Sample(NamedTuple):
    """One attempt that has ended."""

    series: Series
    ending: Ending
    wait: float | None = None  #: seconds from when it was due until it began; None: that is not known
    run: float | None = None  #: seconds that it ran; None: that is not known
    status: Status = Status.PROCESSING  #: what its job has since; PROCESSING: that is still to be written

    @property
    def outcome(self) -> str:
        """How it ended, one of OUTCOMES."""
        return _OF_STATUS[self.status] or _REPEATED.get(self.ending, "retried")


class Counts:
    """The attempts of one series in one step of time."""

    __slots__ = ("outcomes", "run", "wait")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.wait = Histogram()
        self.run = Histogram()

    def add(self, sample: Sample) -> None:
        """Counts an attempt. A node does so for each of its jobs, so this is short."""
        _, ending, wait, run, status = sample
        self.outcomes[_OF_STATUS[status] or _REPEATED.get(ending, "retried")] += 1
        if wait is not None:
            self.wait.add(wait)
        if run is not None:
            self.run.add(run)

    def merge(self, other: Counts) -> None:
        """Adds what another one has counted."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] += count
        self.wait.merge(other.wait)
        self.run.merge(other.run)

    @property
    def ended(self) -> int:
        """How many jobs have ended."""
        return sum(self.outcomes[outcome] for outcome in FINAL_OUTCOMES)

    @property
    def failures(self) -> int:
        """How many jobs have ended FAILED or TIMEOUT."""
        return self.outcomes["failed"] + self.outcomes["timeout"]

    @property
    def attempts(self) -> int:
        """How many attempts have ended."""
        return sum(self.outcomes.values())


class Room:
    """The series that are told apart, those that come first; everything else counts as OTHER.

    So a program that makes up names of queues makes no document larger. A class whose queue has no room is still told
    apart from others, if there is room for that.
    """

    def __init__(self, series: Iterable[Series] = ()) -> None:
        self.series = set(series)

    def place(self, wanted: Series) -> Series:
        """Returns the series under which to count this one."""
        if wanted in self.series:
            return wanted
        wanted = Series(*map(name_of, wanted))
        if len(self.series) < _MOST_PAIRS:
            self.series.add(wanted)
            return wanted
        of_class = Series(wanted.job, OTHER)
        if of_class in self.series:
            return of_class
        if len(self.series) < MOST_SERIES:
            self.series.add(of_class)
            return of_class
        return EVERYTHING_ELSE


def name_of(name: str) -> str:
    """Returns a name under which to count; OTHER for one that nobody has chosen: too long, or not printable."""
    return name if len(name) <= _LONGEST_NAME and name.isprintable() else OTHER
