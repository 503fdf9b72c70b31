"""Measures what a program costs that keeps a record of itself."""

from __future__ import annotations

import os
import resource

from taskscheduler.model.attempts.cost import Cost


class ProgramCost:
    """Counts from now on: this process with the programs that it waits for, or with `supervises` only those."""

    def __init__(self, supervises: bool) -> None:
        self._supervises = supervises
        self._spent = self._cpu()
        self._peak_below = _peak(below=True)

    def so_far(self) -> Cost:
        """Returns the CPU seconds since then, and the peak memory: of this process that since it began."""
        below = _peak(below=True)
        peak = below if below > self._peak_below else 0  # else it is that of one that was waited for before
        if not self._supervises:
            peak = max(peak, _peak(below=False))
        return Cost(max(0.0, self._cpu() - self._spent), peak or None)

    def _cpu(self) -> float:
        own, system, below, system_below, _ = os.times()
        return below + system_below + (0.0 if self._supervises else own + system)


def _peak(below: bool) -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN if below else resource.RUSAGE_SELF).ru_maxrss * 1024
