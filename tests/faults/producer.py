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
from typing import Any

from bson import ObjectId

from taskscheduler import Process, Scheduler
from taskscheduler.errors import SchedulerError
from tests.faults.history import History, of_environment
from tests.faults.processes import die_with_parent

_MOST_SERIES = 4
_MOST_WAITING = 60  #: with more than that the nodes are given time
_COUNT_EVERY = 1.0
_KEPT_WAITING = {"$or": [{"status": 0}, {"status": 1, "blocked": {"$exists": True}}]}
_KEYS = 6
SHARED_KEY = "faults.shared"  #: of solo jobs, and of programs that no node runs
SERVICES = ("keeper", "fitful")
SERVICE_OPTIONS: dict[str, Any] = {"restart_interval": 0.2, "restart_interval_max": 1, "stop_soft": 1, "stop_hard": 2}
_SOLO_KEYS = (True, "faults.red", SHARED_KEY)
_LIMITS = (("faults.three",), ("faults.tenant:a",), ("faults.tenant:b", "faults.three"))
_SEQUENCES = {
    "faults.skips": "skip",
    "faults.skips too": "skip",
    "faults.blocks": "block",
    "faults.blocks too": "block",
}
_GROUPS = ("faults.large", "faults.small")

Options = dict[str, Any]


def start_service(scheduler: Scheduler, name: str) -> Process:
    """Make one of the services of a run be there."""
    return scheduler.start_service(f"faults.{name}", name=name, **SERVICE_OPTIONS)


def set_limit(scheduler: Scheduler, history: History, name: str, concurrency: int | None = None, **rate: Any) -> None:
    """Set a limit of a run, which stays as it is."""
    scheduler.limits.set(name, concurrency, **rate)
    history.write("limit", name=name, concurrency=concurrency)


def release_sequences(scheduler: Scheduler, history: History) -> None:
    """Release the sequences that are blocked."""
    for blocked in scheduler.sequences.blocked():
        call = ObjectId()
        history.write("release", key=blocked.key, call=call)
        scheduler.sequences.release(blocked.key)
        history.write("released", key=blocked.key, call=call)


class Producer:
    """Picks what to do next from a seeded generator."""

    def __init__(self, scheduler: Scheduler, seed: int) -> None:
        self._scheduler = scheduler
        self._random = random.Random(seed)
        self._history = of_environment()
        self._series = 0
        self._counted_at, self._waiting = 0.0, 0
        self._canceling: list[tuple[float, ObjectId]] = []
        self._stopped = set(SERVICES)  #: services that we may have stopped and not started again
        self._mix: dict[Callable[[], None], float] = {
            self._quick: 30,
            self._bulk: 8,
            self._result: 18,
            self._nap: 14,
            self._flaky: 6,
            self._failing: 2,
            self._asking: 2,
            self._snoozing: 3,
            self._hurried: 3,
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
            self._release: 2,
            self._grouped: 3,
            self._rated: 1,
            self._restarted: 1,
        }

    def step(self) -> None:
        """One call to the scheduler, or a few that belong together."""
        if self._canceling and self._canceling[0][0] <= time.monotonic():
            self._cancel(self._canceling.pop(0)[1])
            return
        if self._stopped:
            self.start_services()
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

    # -- kinds of jobs ----------------------------------------------------------------------------------------------

    def _quick(self) -> None:
        self._add("quick", None, "done", queue=self._random.choice(["default", "urgent"]))

    def _result(self) -> None:
        self._add("result", self._random.randrange(1000), "done", priority=self._random.randrange(3))

    def _nap(self) -> None:
        self._add("nap", self._random.uniform(0.05, 2.0) ** 2 / 2, "done")

    def _flaky(self) -> None:
        fails = self._random.randint(1, 2)
        interval, backoff = self._random.choice([(0, "constant"), (0.3, "constant"), (0.1, "exponential")])
        self._add("flaky", fails, "done", retry=fails, retry_interval=interval, backoff=backoff)

    def _failing(self) -> None:
        self._add("flaky", 1000, "failed", retry=1, retry_interval=0.2)

    def _asking(self) -> None:
        asks = self._random.randint(1, 2)
        self._add("asking", asks, "done", retry=asks)

    def _snoozing(self) -> None:
        self._add("snoozing", self._random.randint(1, 3), "done")

    def _hurried(self) -> None:
        self._add("quick", None, "any", start_by=self._random.choice([0.1, 0.5, 3]))

    def _later(self) -> None:
        self._add("quick", None, "done", at=timedelta(seconds=self._random.uniform(0.3, 4)))

    def _repeating(self) -> None:
        if self._series < _MOST_SERIES:
            self._series += 1
            reference = self._random.choice(["start", "end"])
            self._add("quick", "series", "any", interval=self._random.uniform(1, 2), interval_reference=reference)

    def _stubborn(self) -> None:
        self._add("stubborn", None, "timeout", timeout=0.5)

    def _canceled(self) -> None:
        self._to_be_canceled(self._add("nap", 4.0, "any", at=timedelta(seconds=self._random.choice([0, 0, 1.5]))))

    def _to_be_canceled(self, job: ObjectId | None) -> None:
        if job is not None:
            self._canceling.append((time.monotonic() + 1.0, job))

    def _family(self) -> None:
        parent = self._add("nap", 1.0, "any")
        if parent is None:
            return
        for number in range(self._random.randint(1, 3)):
            fails = number == 0 and self._random.random() < 0.4
            self._add("flaky" if fails else "nap", 1000 if fails else 0.25, "any", parent=parent)

    def _killer(self) -> None:
        poison = self._random.random() < 0.2
        self._add("killer", 1000 if poison else 1, "poisoned" if poison else "done")

    def _forced(self) -> None:
        self._add("nap", 0.25, "done", force_spawn=True)  # unlike all of `_once`, which would replace it

    def _solo(self) -> None:
        self._add("solo", self._random.uniform(0.05, 0.4), "done", solo=self._random.choice(_SOLO_KEYS))

    def _solo_canceled(self) -> None:
        self._to_be_canceled(self._add("solo", 4.0, "any", priority=1, solo=self._random.choice(_SOLO_KEYS)))

    def _limited(self) -> None:
        limits = list(self._random.choice(_LIMITS))
        if self._random.random() < 0.3:
            self._add("flaky", 1, "done", limits=limits, retry=1, retry_interval=0.2)
        else:
            self._add("nap", self._random.uniform(0.05, 0.4), "done", limits=limits)

    def _limited_canceled(self) -> None:
        self._to_be_canceled(self._add("nap", 4.0, "any", priority=1, limits=list(self._random.choice(_LIMITS))))

    def _sequence(self) -> None:
        key, limits = self._random.choice(list(_SEQUENCES)), self._random.choice([(), (), ("faults.three",)])
        options = {"sequence": key, "limits": list(limits), "retry": 1, "retry_interval": 0.2}
        self._add_some("flaky", [self._random.choice([0, 0, 1]) for _ in range(self._random.randint(1, 3))], options)

    def _sequence_failing(self) -> None:
        key = self._random.choice(list(_SEQUENCES))
        self._add("flaky", 1000, "failed", sequence=key, sequence_on_failure=_SEQUENCES[key])

    def _release(self) -> None:
        try:
            release_sequences(self._scheduler, self._history)
        except SchedulerError as error:
            self._history.write("not_released", why=f"{type(error).__name__}: {error}"[:200])

    def _grouped(self) -> None:
        group, limits = self._random.choice(_GROUPS), self._random.choice([(), (), ("faults.three",)])
        self._add_some("quick", [None] * self._random.randint(1, 6), {"group": group, "limits": list(limits)})

    def _rated(self) -> None:
        self._add_some("quick", [None] * self._random.randint(2, 4), {"limits": ["faults.rated"]})

    def _restarted(self) -> None:
        name = self._random.choice(SERVICES)
        self._stopped.add(name)
        self._serve(name, lambda: self._scheduler.restart_service(name))

    def start_services(self) -> None:
        """Start what we may have stopped, by now or before we were killed."""
        for name in sorted(self._stopped):
            self._serve(name, lambda name=name: start_service(self._scheduler, name))  # type: ignore[misc]

    # -- calls ------------------------------------------------------------------------------------------------------

    def _add(self, job: str, data: Any, expected: str, **options: Any) -> ObjectId | None:
        """The id of the job if it was added for certain."""
        job_id = ObjectId()
        given = self._scheduler.add_job
        sure = self._tell([job_id], expected, lambda: given(f"faults.{job}", data, {**options, "id": job_id}))
        return job_id if sure else None

    def _bulk(self) -> None:
        self._add_some("quick", list(range(self._random.randint(3, 20))), {})

    def _add_some(self, job: str, data: list[Any], options: Options) -> None:
        ids = [ObjectId() for _ in data]
        jobs = [(f"faults.{job}", one, {**options, "id": job_id}) for one, job_id in zip(data, ids, strict=True)]
        self._tell(ids, "done", lambda: self._scheduler.add_jobs(jobs))

    def _tell(self, ids: list[ObjectId], expected: str, add: Callable[[], Any]) -> bool:
        self._history.write("add", ids=ids, expected=expected)
        try:
            add()
        except SchedulerError as error:
            self._history.write("unknown", ids=ids, why=f"{type(error).__name__}: {error}"[:200])
            return False
        self._history.write("acked", ids=ids)
        return True

    def _once(self) -> None:
        job_id, key = ObjectId(), self._random.randrange(_KEYS)
        options: Options = {"id": job_id}
        if self._random.random() < 0.2:
            options["retry"] = self._random.randrange(3)  # replaces the job that is live
        self._history.write("add", ids=[job_id], expected="any", once=key)
        try:
            process = self._scheduler.add_job_once("faults.nap", 0.1 + key / 10, options)
        except SchedulerError as error:
            self._history.write("unknown", ids=[job_id], why=f"{type(error).__name__}: {error}"[:200])
            return
        if process.outcome == "existing":
            self._history.write("existing", ids=[job_id], job=process.id)
        else:
            self._history.write("acked", ids=[job_id])

    def _serve(self, name: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except SchedulerError as error:
            self._history.write("not_served", service=name, why=f"{type(error).__name__}: {error}"[:200])
        else:
            self._stopped.discard(name)

    def _cancel(self, job_id: ObjectId) -> None:
        self._history.write("cancel", job=job_id)
        try:
            self._scheduler.cancel_job(job_id)
        except SchedulerError as error:
            self._history.write("cancel_unknown", job=job_id, why=str(error)[:200])
        else:
            self._history.write("canceled", job=job_id)


def main(uri: str, seed: int, per_second: float, lease: float) -> int:
    """Add jobs until SIGTERM."""
    die_with_parent()
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Scheduler(uri, orphaned_timeout=lease) as scheduler:
        producer = Producer(scheduler, seed)
        due = time.monotonic()
        while not stopped.is_set():
            producer.step()
            due = max(due + 1 / per_second, time.monotonic())  # what was missed is not made up for
            stopped.wait(max(0.0, due - time.monotonic()))
        producer.start_services()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
