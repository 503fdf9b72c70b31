"""A process that adds and cancels jobs of all kinds at a bounded rate, and writes down what it was promised.

    python -m tests.faults.producer URI SEED PER_SECOND LEASE

What it is about to do is written before, what came of it after: `add` and then `acked` or `unknown`, with the ids.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

from bson import ObjectId

from taskscheduler import Flow, Scheduler
from taskscheduler.declarations.flows import FlowJob
from taskscheduler.errors import SchedulerError
from tests.faults.calls import Calls, Options
from tests.faults.processes import die_with_parent
from tests.faults.standing import SERVICES, SHARED_KEY
from tests.faults.stepping import SIGNAL_WITHIN

_MOST_SERIES = 4
_MOST_WAITING = 60  #: with more than that the nodes are given time
_COUNT_EVERY = 1.0
_KEPT_WAITING = {"$or": [{"status": 0}, {"status": 1, "blocked": {"$exists": True}}]}
_KEYS = 6
_SOLO_KEYS = (True, "faults.red", SHARED_KEY)
_LIMITS = (("faults.three",), ("faults.tenant:a",), ("faults.tenant:b", "faults.three"))
_SEQUENCES = {
    "faults.skips": "skip",
    "faults.skips too": "skip",
    "faults.blocks": "block",
    "faults.blocks too": "block",
}
_GROUPS = ("faults.large", "faults.small")


class Producer:
    """Picks what to do next from a seeded generator."""

    def __init__(self, scheduler: Scheduler, calls: Calls, seed: int) -> None:
        self._scheduler = scheduler
        self._calls = calls
        self._random = random.Random(seed)
        self._series = 0
        self._counted_at, self._waiting = 0.0, 0
        self._canceling: list[tuple[float, ObjectId]] = []
        self._telling: list[tuple[float, ObjectId]] = []  #: signals to be given
        self._mix: dict[Callable[[], None], float] = {
            self._quick: 30,
            self._bulk: 8,
            self._result: 18,
            self._nap: 14,
            self._flaky: 6,
            self._failing: 2,
            self._asking: 2,
            self._snoozing: 3,
            self._stepping: 3,
            self._hurried: 3,
            self._flow: 3,
            self._failing_flow: 1,
            self._paying: 3,
            self._ordering: 3,
            self._later: 6,
            self._repeating: 1,
            self._stubborn: 1,
            self._canceled: 3,
            self._family: 2,
            self._once: 6,
            self._killer: 1,
            self._forced: 1,
            self._solo: 4,
            self._solo_canceled: 1,
            self._limited: 5,
            self._limited_canceled: 1,
            self._sequence: 4,
            self._sequence_failing: 2,
            calls.release: 2,
            self._grouped: 3,
            self._rated: 1,
            self._restarted: 1,
        }

    def step(self) -> None:
        """One call to the scheduler, or a few that belong together."""
        if self._canceling and self._canceling[0][0] <= time.monotonic():
            self._calls.cancel(self._canceling.pop(0)[1])
            return
        if self._telling and self._telling[0][0] <= time.monotonic():
            self._calls.signal(self._telling.pop(0)[1], self._random.randrange(2**30))
            return
        if self._calls.stopped:
            self._calls.start_services()
        if not self._is_too_much():
            self._random.choices(list(self._mix), list(self._mix.values()))[0]()

    def _is_too_much(self) -> bool:
        """Whether the nodes have fallen behind, as far as can be told."""
        if time.monotonic() > self._counted_at + _COUNT_EVERY:
            try:
                self._waiting = sum(1 for _ in self._scheduler.get_jobs(_KEPT_WAITING))
            except SchedulerError:
                pass  # then as before
            self._counted_at = time.monotonic()
        return self._waiting > _MOST_WAITING

    def _quick(self) -> None:
        self._calls.add("quick", None, "done", queue=self._random.choice(["default", "urgent"]))

    def _result(self) -> None:
        self._calls.add("result", self._random.randrange(1000), "done", priority=self._random.randrange(3))

    def _nap(self) -> None:
        self._calls.add("nap", self._random.uniform(0.05, 2.0) ** 2 / 2, "done")

    def _flaky(self) -> None:
        fails = self._random.randint(1, 2)
        interval, backoff = self._random.choice([(0, "constant"), (0.3, "constant"), (0.1, "exponential")])
        self._calls.add("flaky", fails, "done", retry=fails, retry_interval=interval, backoff=backoff)

    def _failing(self) -> None:
        self._calls.add("flaky", 1000, "failed", retry=1, retry_interval=0.2)

    def _asking(self) -> None:
        asks = self._random.randint(1, 2)
        self._calls.add("asking", asks, "done", retry=asks)

    def _snoozing(self) -> None:
        self._calls.add("snoozing", self._random.randint(1, 3), "done")

    def _stepping(self) -> None:
        job = self._calls.add("stepping", self._random.randint(1, 4), "done", retry=10, retry_interval=0.2)
        if job is not None and self._random.random() < 0.8:
            self._telling.append((time.monotonic() + self._random.uniform(0, 2 * SIGNAL_WITHIN), job))
            self._telling.sort()

    def _flow(self) -> None:
        """A diamond: some fan out and come together again."""
        flow = Flow("faults")
        first = flow.add("faults.quick")
        wide = [self._in_a_flow(flow).after(first) for _ in range(self._random.randint(2, 4))]
        flow.add("faults.result", 1, after=wide)
        self._calls.add_flow(flow, "done")

    def _in_a_flow(self, flow: Flow) -> FlowJob:
        kind = self._random.choice(["quick", "nap", "flaky", "limited"])
        if kind == "nap":
            return flow.add("faults.nap", self._random.uniform(0.05, 0.5))
        if kind == "flaky":
            return flow.add("faults.flaky", 1, retry=1, retry_interval=0.2)
        return flow.add("faults.quick", limits=["faults.three"] if kind == "limited" else [])

    def _failing_flow(self) -> None:
        flow = Flow("faults")
        bad = flow.add("faults.flaky", 1000)
        flow.add("faults.quick", after=[flow.add("faults.quick", after=[bad])])
        self._calls.add_flow(flow, "any")

    def _paying(self) -> None:
        self._calls.add("paying", self._random.uniform(0, 0.3), "done", retry=50, retry_interval=0.2)

    def _ordering(self) -> None:
        self._calls.order("quick", None)

    def _hurried(self) -> None:
        self._calls.add("quick", None, "any", start_by=self._random.choice([0.1, 0.5, 3]))

    def _later(self) -> None:
        self._calls.add("quick", None, "done", at=timedelta(seconds=self._random.uniform(0.3, 4)))

    def _repeating(self) -> None:
        if self._series < _MOST_SERIES:
            self._series += 1
            reference = self._random.choice(["start", "end"])
            self._calls.add("quick", "series", "any", interval=self._random.uniform(1, 2), interval_reference=reference)

    def _stubborn(self) -> None:
        self._calls.add("stubborn", None, "timeout", timeout=0.5)

    def _canceled(self) -> None:
        self._to_be_canceled(self._calls.add("nap", 4.0, "any", at=timedelta(seconds=self._random.choice([0, 0, 1.5]))))

    def _to_be_canceled(self, job: ObjectId | None) -> None:
        if job is not None:
            self._canceling.append((time.monotonic() + 1.0, job))

    def _family(self) -> None:
        parent = self._calls.add("nap", 1.0, "any")
        if parent is None:
            return
        for number in range(self._random.randint(1, 3)):
            fails = number == 0 and self._random.random() < 0.4
            self._calls.add("flaky" if fails else "nap", 1000 if fails else 0.25, "any", parent=parent)

    def _killer(self) -> None:
        poison = self._random.random() < 0.2
        self._calls.add("killer", 1000 if poison else 1, "poisoned" if poison else "done")

    def _forced(self) -> None:
        self._calls.add("nap", 0.25, "done", force_spawn=True)  # unlike all of `_once`, which would replace it

    def _solo(self) -> None:
        self._calls.add("solo", self._random.uniform(0.05, 0.4), "done", solo=self._random.choice(_SOLO_KEYS))

    def _solo_canceled(self) -> None:
        self._to_be_canceled(self._calls.add("solo", 4.0, "any", priority=1, solo=self._random.choice(_SOLO_KEYS)))

    def _limited(self) -> None:
        limits = list(self._random.choice(_LIMITS))
        if self._random.random() < 0.3:
            self._calls.add("flaky", 1, "done", limits=limits, retry=1, retry_interval=0.2)
        else:
            self._calls.add("nap", self._random.uniform(0.05, 0.4), "done", limits=limits)

    def _limited_canceled(self) -> None:
        self._to_be_canceled(self._calls.add("nap", 4.0, "any", priority=1, limits=list(self._random.choice(_LIMITS))))

    def _sequence(self) -> None:
        key, limits = self._random.choice(list(_SEQUENCES)), self._random.choice([(), (), ("faults.three",)])
        options = {"sequence": key, "limits": list(limits), "retry": 1, "retry_interval": 0.2}
        self._calls.add_some(
            "flaky", [self._random.choice([0, 0, 1]) for _ in range(self._random.randint(1, 3))], options
        )

    def _sequence_failing(self) -> None:
        key = self._random.choice(list(_SEQUENCES))
        self._calls.add("flaky", 1000, "failed", sequence=key, sequence_on_failure=_SEQUENCES[key])

    def _grouped(self) -> None:
        group, limits = self._random.choice(_GROUPS), self._random.choice([(), (), ("faults.three",)])
        self._calls.add_some("quick", [None] * self._random.randint(1, 6), {"group": group, "limits": list(limits)})

    def _rated(self) -> None:
        self._calls.add_some("quick", [None] * self._random.randint(2, 4), {"limits": ["faults.rated"]})

    def _restarted(self) -> None:
        self._calls.restart(self._random.choice(SERVICES))

    def _bulk(self) -> None:
        self._calls.add_some("quick", list(range(self._random.randint(3, 20))), {})

    def _once(self) -> None:
        key, options = self._random.randrange(_KEYS), Options()
        if self._random.random() < 0.2:
            options["retry"] = self._random.randrange(3)  # replaces the job that is live
        self._calls.add_once(key, options)


def main(uri: str, seed: int, per_second: float, lease: float) -> int:
    """Add jobs until SIGTERM."""
    die_with_parent()
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Scheduler(uri, orphaned_timeout=lease) as scheduler:
        calls = Calls(scheduler)
        producer = Producer(scheduler, calls, seed)
        due = time.monotonic()
        while not stopped.is_set():
            producer.step()
            due = max(due + 1 / per_second, time.monotonic())  # what was missed is not made up for
            stopped.wait(max(0.0, due - time.monotonic()))
        calls.start_services()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
