"""Speed: how long jobs take and how many finish per second, and what to claim ahead by that."""

from __future__ import annotations

_AHEAD_SECONDS = 0.1  #: claimed work that has not started takes at most so long

_FIRST_BATCH = 1000  #: the most to claim ahead before the real rate is known

_MOST_AHEAD = 3000

_RATE_EVERY = 0.1  #: seconds between two measurements of the rate


class Speed:
    """Measured by the main loop, asked by the claimer."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._rate = 0.0
        self._finished = 0
        self._rated_at: float | None = None

    def learn(self, seconds: float) -> None:
        """Notes how long a job ran."""
        self._finished += 1
        self._mean = seconds if self._mean == 0.0 else self._mean * 0.95 + seconds * 0.05

    def stalled(self, slots: int) -> None:
        """Ends claiming ahead until jobs finish again."""
        self._mean = max(self._mean, 2 * _AHEAD_SECONDS * max(1, slots))

    def rate(self, now: float) -> None:
        """Measures how many jobs per second really finish; called now and then."""
        if self._rated_at is None:
            self._rated_at, self._finished = now, 0
        elif now - self._rated_at >= _RATE_EVERY:
            self._rate = self._finished / (now - self._rated_at)
            self._rated_at, self._finished = now, 0

    def ahead(self, slots: int) -> int:
        """Returns how many jobs to claim besides one for each slot: those that can start in the next 100 ms."""
        if not slots or self._mean <= 0.0:
            return 0
        # twice: jobs that are being claimed take about as long to arrive as those in flight take to run
        known = max(_FIRST_BATCH, int(self._rate * _AHEAD_SECONDS * 2))
        return min(int(_AHEAD_SECONDS * slots / self._mean), known, _MOST_AHEAD)
