"""Jobs with steps that write down what they were told is done, and do to their worker what the data say."""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from taskscheduler import Job, SignalTimeoutError
from tests.faults.steps import ambiguous, crashing
from tests.support.jobs import trace, traces

_BEAT = 0.01

#: so many attempts were begun in this process
_BEGUN = itertools.count()


def _arm(job: Job) -> None:
    """Puts the fault that the data say into this process, in the first attempt."""
    if next(_BEGUN) or job.attempt > 1:
        return
    if "crash_at" in job.data:
        crashing.arm(job.data["crash_at"], Path(f"{job.data['trace']}.calls"))
    if "fail_at" in job.data:
        ambiguous.arm(job.data["fail_at"], Path(f"{job.data['trace']}.faults"), job.data["fail_when"])


class FaultyGrow(Job):
    """Adds two jobs to its flow, and one that comes after them."""

    name = "faulty_grow"

    def start(self) -> None:
        _arm(self)
        added = [self.flow.add("noop", after=[self.flow.label], label=f"n{n}") for n in range(2)]
        self.flow.add("noop", after=added, label="last")


class Order(Job):
    """Leaves `id attempt pid` in the file that the data name, and beside it what its steps do.

    In the file `.steps`: `id ran NAME attempt` as the function of a step runs, `id known NAME value` when it has its
    result. The data: `crash_at`, `fail_at` with `fail_when`: what happens to the calls of the worker in the first
    attempt; `sleep`, `wait`, `timeout` and `then`: the file that ends the clean-up of an attempt that waits.
    """

    name = "faulty_order"

    def set_up(self) -> None:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        _arm(self)

    def start(self) -> Any:
        self.known("one", self.step("one", self.run, "one", 1))
        if "sleep" in self.data:
            self.sleep(self.data["sleep"])
        heard = self.heard() if self.data.get("wait") else None
        self.known("two", self.step("two", self.run, "two", 2))
        return heard

    def heard(self) -> Any:
        try:
            value = self.wait_for("go", timeout=self.data.get("timeout"))
        except SignalTimeoutError:
            value = "timeout"
        self.known("go", value)
        return value

    def run(self, name: str, value: Any) -> Any:
        trace(f"{self.data['trace']}.steps", self.id, "ran", name, self.attempt)
        return value

    def known(self, name: str, value: Any) -> None:
        trace(f"{self.data['trace']}.steps", self.id, "known", name, value)

    def tear_down(self, outcome: Any) -> None:
        if "then" not in self.data or outcome.status.label != "postponed":
            return
        trace(f"{self.data['trace']}.ending", self.id)
        while not Path(self.data["then"]).exists():
            threading.Event().wait(_BEAT)


def broken_promises(path: str) -> list[str]:
    """What the trace of such jobs shows that must not be: a step that ran although it was known, a changed value."""
    found, known, after = [], dict[tuple[str, str], str](), Counter[tuple[str, str]]()
    for job, what, name, value in traces(f"{path}.steps"):
        key = job, name
        if what == "known":
            if known.setdefault(key, value) != value:
                found.append(f"{name} was {known[key]} and is {value}")
        elif key in known:
            after[key] += 1
    return [*found, *(f"{name} ran {count} times after it was known" for (_, name), count in after.items())]


def values(path: str, name: str) -> set[str]:
    """What the jobs were told that a step or signal has given."""
    return {words[3] for words in traces(f"{path}.steps") if words[1] == "known" and words[2] == name}
