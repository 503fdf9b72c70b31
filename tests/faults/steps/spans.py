"""Jobs that show when they are at work, and what that tells: how many at once, and in which order."""

from __future__ import annotations

import os
import threading
import time
from itertools import accumulate
from pathlib import Path

from taskscheduler import Job
from tests.support.jobs import trace, traces

_BEAT = 0.01
_SHORT = 0.05  #: seconds


class Span(Job):
    """Leaves `id attempt pid time` in the file that the data names, and signs of life beside it.

    Takes a moment, or until the file `until` exists. Then it fails as often as the data says.
    """

    name = "span"

    def start(self) -> None:
        pause, path = threading.Event(), self.data["trace"]
        began = time.monotonic()
        trace(path, self.id, self.attempt, os.getpid(), began)
        while self._goes_on(time.monotonic() - began):
            pause.wait(_BEAT)
            trace(f"{path}.beats", self.id, self.attempt, time.monotonic())
        if self.attempt <= self.data.get("fails", 0):
            raise RuntimeError("as the data says")

    def _goes_on(self, seconds: float) -> bool:
        return not Path(self.data["until"]).exists() if "until" in self.data else seconds < _SHORT


def spans(path: str) -> list[tuple[str, float, float]]:
    """The jobs that were at work with their first and last signs of life, in the order in which they began."""
    last = {(job, attempt): float(at) for job, attempt, at in traces(f"{path}.beats")}
    began = [(job, attempt, float(more[0])) for job, attempt, _, *more in traces(path) if more]
    return sorted(((job, at, last.get((job, attempt), at)) for job, attempt, at in began), key=lambda span: span[1])


def most_at_once(path: str) -> int:
    """How many were at work at one moment."""
    changes = sorted((at, change) for _, *span in spans(path) for at, change in zip(span, (1, -1), strict=True))
    return max(accumulate(change for _, change in changes), default=0)
