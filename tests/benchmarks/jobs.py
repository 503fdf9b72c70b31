"""The jobs that the benchmarks run: one that only notes that it ran, and one that does nothing else than that."""

from __future__ import annotations

from taskscheduler import Job
from tests.benchmarks.stamps import stamp


class Stamp(Job):
    """Notes that it runs; no result."""

    name = "bench-stamp"

    def start(self) -> None:
        stamp()
