"""Jobs of flows: they pass results on, add others, or fail until somebody lets them pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskscheduler import Flow, Job, job
from tests.support.jobs import trace


@job(name="flow-number")
def number(value: int) -> int:
    """The number that is given."""
    return value


@job(name="flow-total")
def total(numbers: list[int]) -> int:
    """The sum of numbers."""
    return sum(numbers)


@job(name="flow-passes")
def passes(flag: str) -> str:
    """Fails until a file is there."""
    if not Path(flag).exists():
        raise ValueError("not yet")
    return "passed"


class Step(Job):
    """Traces `label begin` and `label end`, so that the order can be told."""

    name = "flow-step"

    def start(self) -> None:
        trace(self.data, self.flow.label, "begin")
        trace(self.data, self.flow.label, "end")


class Grow(Job):
    """Adds as many jobs as the data say that come after it, and one that comes after those."""

    name = "flow-grow"

    def start(self) -> Any:
        added = [self.flow.add("flow-number", n, after=[self.flow.label], label=f"n{n}") for n in range(self.data)]
        return str(self.flow.add("noop", after=added, label="last").id)


class GrowAsync(Job):
    """The same as an async job."""

    name = "flow-grow-async"

    async def start(self) -> Any:
        added = []
        for n in range(self.data):
            added.append(await self.flow.add("flow-number", n, after=[self.flow.label], label=f"n{n}"))
        return str((await self.flow.add("noop", after=added, label="last")).id)


def diamond() -> Flow:
    """Four jobs, of which two come after the first and before the last."""
    flow = Flow("diamond")
    top = flow.add("noop", label="top")
    flow.add("noop", after=[flow.add("noop", after=[top]) for _ in range(2)], label="bottom")
    return flow
