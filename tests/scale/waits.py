"""Pure: from when jobs were added and when which worker ran them, how long a job waited although a worker was idle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ran:
    """One execution; times are monotonic seconds of one machine."""

    worker: int
    added: float
    started: float
    ended: float


def waits_beside_idle_workers(runs: Sequence[Ran], workers: int) -> list[float]:
    """For each job the longest stretch between its being added and its start in which fewer than `workers` ran one."""
    idle = _idle([(one.started, one.ended) for one in runs], workers)
    return [max(_shared(one.added, one.started, idle), default=0.0) for one in runs]


def _idle(busy: Iterable[tuple[float, float]], workers: int) -> list[tuple[float, float]]:
    """The stretches in which a worker was idle."""
    changes = sorted([(start, 1) for start, _ in busy] + [(end, -1) for _, end in busy])
    found, running, since = [], 0, float("-inf")
    for at, change in changes:
        if running < workers <= running + change:
            found.append((since, at))
        elif running + change < workers <= running:
            since = at
        running += change
    return [*found, (since, float("inf"))]


def _shared(begin: float, end: float, stretches: Iterable[tuple[float, float]]) -> list[float]:
    return [min(end, to) - max(begin, since) for since, to in stretches if min(end, to) > max(begin, since)]
