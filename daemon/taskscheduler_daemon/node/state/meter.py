"""Meter: counts the attempts that have ended here, for the history of the cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime

from bson.tz_util import utc

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.losses import NODE, WORKER
from taskscheduler.model.metrics.counts import Sample
from taskscheduler.model.metrics.tally import Portion, Tally
from taskscheduler.operations.rescue import Rescued
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.totals import Totals

_EPOCH = datetime(1970, 1, 1, tzinfo=utc)


class Meter:
    """Counts attempts by class, queue and how they ended. Safe to use from many threads."""

    def __init__(self, clock: Clock, totals: Totals | None = None) -> None:
        """`clock` is that of the server, so that all nodes divide the time alike; `totals`: if somebody scrapes."""
        self._clock = clock
        self._totals = totals
        self._lock = threading.Lock()
        self._tally = Tally()

    def sample(self, attempt: Attempt, report: Report, began: float) -> Sample:
        """Returns what is counted about an attempt once its end is written; `began`: unix time, 0.0: not known."""
        series, ending = attempt.traits.series, report.ending
        return Sample(series, ending, waited(attempt, began), report.seconds) if began else Sample(series, ending)

    def landed(self, completions: Iterable[Completion]) -> None:
        """Counts attempts whose ends are written, each once."""
        samples = []
        for one in completions:
            if one.sample is not None:
                series, ending, wait, run, _ = one.sample
                one.sample = None
                samples.append(Sample(series, ending, wait, run, one.verdict.status))
        self.count(samples)

    def landed_quickly(self, ends: Iterable[QuickEnd]) -> None:
        """Counts attempts whose ends are written, each once."""
        done, succeeded = Status.DONE, Ending.SUCCEEDED
        self.count([Sample(series, succeeded, wait, lasted, done) for _, _, _, lasted, _, _, series, wait, _ in ends])

    def cancelled(self, attempt: Attempt) -> None:
        """Counts an attempt that ends because its job was cancelled, or is not ours any more."""
        self.count([Sample(attempt.traits.series, Ending.RETURNED, status=Status.CANCELED)])

    def rescued(self, jobs: Iterable[Rescued]) -> None:
        """Counts attempts of a lost node, which cannot do that any more."""
        self.count([one.sample._replace(status=one.status) for one in jobs if one.sample is not None], NODE)

    def count(self, samples: list[Sample], died: str = WORKER) -> None:
        """Counts attempts that have ended just now; `died`: what was lost with those that were lost."""
        if samples and self._totals is not None:
            self._totals.count(samples, died)
        if samples:
            with self._lock:
                self._tally.add(samples, self._clock.now())

    def take(self) -> Portion | None:
        """Takes the oldest minute that was counted, to be stored; None if nothing was counted."""
        with self._lock:
            return self._tally.take()


def waited(attempt: Attempt, began: float) -> float | None:
    """Returns the seconds from when a job was due until its attempt began, at this unix time; None: not known."""
    if attempt.due is None:
        due = attempt.job.get("at")
        return began - _unix(due) if isinstance(due, datetime) else None
    return began - attempt.due


def _unix(date: datetime) -> float:
    """Returns a date as a unix time. The zone of stored dates is written in Python, and asked by `timestamp` alone."""
    return (date - _EPOCH).total_seconds() if date.tzinfo is utc else date.timestamp()
