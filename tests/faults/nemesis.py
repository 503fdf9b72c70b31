"""Carries a plan out: two lanes of faults side by side, each fault healed before the next of its lane."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pymongo.errors import PyMongoError

from tests.faults.cluster import Cluster
from tests.faults.plan import Step
from tests.faults.process_faults import PROCESS_FAULTS
from tests.faults.server_faults import SERVER_FAULTS

Tell = Callable[[str], None]

_FAULTS = {**PROCESS_FAULTS, **SERVER_FAULTS}
_SETTLE_WITHIN = 40.0
_LOOK = 0.25


class Nemesis:
    """Counts what it has done in `done`; single-threaded, so that a plan is carried out in one order only."""

    def __init__(self, cluster: Cluster, tell: Tell) -> None:
        self._cluster = cluster
        self._tell = tell
        self._began = time.monotonic()
        self._over = float("inf")
        self.done: Counter[str] = Counter()

    def run(self, seconds: float, lanes: dict[str, Sequence[Step]]) -> None:
        """Fault the cluster for so long, then heal everything."""
        self._began = time.monotonic()
        self._over = self._began + seconds
        todo = [(self._began, name, self._lane(name, steps)) for name, steps in lanes.items()]
        pause = threading.Event()
        while todo:
            due, name, lane = heapq.heappop(todo)
            pause.wait(max(0.0, due - time.monotonic()))
            wait = next(lane, None)
            if wait is not None:
                heapq.heappush(todo, (time.monotonic() + wait, name, lane))
        pause.wait(max(0.0, self._over - time.monotonic()))
        self._cluster.restore()
        self._cluster.servers.wait_until_healthy(_SETTLE_WITHIN)

    def _lane(self, name: str, steps: Sequence[Step]) -> Iterator[float]:
        for step in steps:
            yield step.pause
            if time.monotonic() >= self._over:
                return
            yield from self._one(step)
            if name == "server":
                yield from self._settle()

    def _one(self, step: Step) -> Iterator[float]:
        began = time.monotonic()
        self._cluster.history.write("fault", fault=step.fault, choice=step.choice)
        try:
            yield from _FAULTS[step.fault](self._cluster, step.choice)
        except (PyMongoError, AssertionError, OSError) as error:
            self._cluster.history.write("fault_failed", fault=step.fault, why=str(error)[:200])
            self._say(began, f"{step.fault} failed: {error}"[:100])
            self._cluster.restore()
            return
        self._cluster.history.write("healed", fault=step.fault)
        self.done[step.fault] += 1
        self._say(began, step.fault)

    def _settle(self) -> Iterator[float]:
        """Until a primary and all its secondaries are there again."""
        deadline = time.monotonic() + _SETTLE_WITHIN
        while not self._cluster.servers.is_healthy():
            if time.monotonic() > deadline:
                self._cluster.history.write("fault_failed", fault="settle", why="the servers do not come back")
                return
            yield _LOOK

    def _say(self, began: float, text: str) -> None:
        now = time.monotonic()
        self._tell(f"{began - self._began:7.1f} s  {text} ({now - began:.1f} s)")
