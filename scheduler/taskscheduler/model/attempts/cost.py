"""What an attempt cost: seconds, CPU seconds, memory, and how its process ended if it died with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.model.sound import sound

#: the fields of a job, and of an entry in its list of attempts, that say what an attempt cost
COST_FIELDS = ("cpu", "peak_memory", "exit_code", "signal")


class Cost(NamedTuple):
    """What the process of an attempt measured."""

    cpu: float | None = None  #: seconds; None if nobody knows
    peak_memory: int | None = None  #: bytes; None if nobody knows

    def stored(self) -> dict[str, Any]:
        """Returns the fields to store, of what is known; milliseconds are as exact as it gets."""
        fields: dict[str, Any] = {} if self.cpu is None else {"cpu": round(self.cpu, 3)}
        return fields if self.peak_memory is None else {**fields, "peak_memory": self.peak_memory}

    def share(self, jobs: int) -> Cost:
        """Returns the part of each of so many jobs that ran as one: of the CPU time, for memory is not divided."""
        return self if self.cpu is None or jobs < 2 else Cost(self.cpu / jobs, self.peak_memory)


UNKNOWN = Cost()


def cost_of(entry: Mapping[str, Any], due: datetime | None) -> dict[str, Any]:
    """Returns what an attempt cost that was `due` then: wall, cpu and wait in seconds, peak_memory in bytes, its exit.

    Each is None if it is not known. `exit_code` and `signal` are those of a worker that died with the attempt.
    """
    started, ended, error = sound(entry, "started"), sound(entry, "ended"), sound(entry, "error", {})
    return {
        "wall": _seconds(started, ended),
        "cpu": sound(entry, "cpu"),
        "wait": _seconds(due, started),
        "peak_memory": sound(entry, "peak_memory"),
        **{name: sound(entry, name, sound(error, name)) for name in ("exit_code", "signal")},
    }


def _seconds(earlier: datetime | None, later: datetime | None) -> float | None:
    return None if earlier is None or later is None else max(0.0, (later - earlier).total_seconds())
