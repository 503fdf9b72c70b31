"""The jobs that `taskscheduler bench` adds."""

from __future__ import annotations

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.jobs.job import Job


class Noop(Job):
    """Does nothing."""

    name = "taskscheduler.bench.noop"

    def start(self) -> None:
        return None


class Started(Job):
    """Returns when it began; the temporary node has the clock of this machine."""

    name = "taskscheduler.bench.started"

    def start(self) -> float:
        return SYSTEM_CLOCK.monotonic()
