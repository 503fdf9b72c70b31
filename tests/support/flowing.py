"""Jobs of flows: they pass results on, add others, or fail until somebody lets them pass."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import ObjectId

from taskscheduler import Flow, Job, Status, job
from taskscheduler.operations.flows.tree import FlowTree, nodes_of
from taskscheduler.store.flows.flow_store import FlowStore
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


class GrowAndDie(Grow):
    """Its worker is killed in its first attempt, in the transaction that adds the jobs."""

    name = "flow-grow-and-die"

    def start(self) -> Any:
        if self.attempt == 1:
            setattr(FlowStore, "insert", _die)  # noqa: B010  (in this process, which ends)
        return super().start()


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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


def tree_of(after: Mapping[str, Sequence[str]], **statuses: Status) -> FlowTree:
    """A flow as it is read: jobs by their labels with those that each comes after; they are done unless said so."""
    ids = {label: ObjectId() for label in after}
    joins = {tuple(labels): ObjectId() for labels in after.values() if labels}
    member_of: dict[str, list[ObjectId]] = {}
    for labels, join in joins.items():
        for label in labels:
            member_of.setdefault(label, []).append(join)
    documents = []
    for label, before in after.items():
        status = statuses.get(label, Status.DONE)
        waits = {"parked_at": datetime.now(UTC)} if status is Status.POSTPONED else {}
        own = {"joins": member_of.get(label, []), **({"after": joins[tuple(before)]} if before else {})}
        documents.append({"_id": ids[label], "label": label, "status": int(status), **own, **waits})
    nodes = nodes_of(documents)
    counts = Counter(node.status.label for node in nodes)
    flow = {"_id": ObjectId(), "name": "flow", "status": "running", "total": len(nodes), "counts": dict(counts)}
    return FlowTree(flow, nodes)


def order(parts: int, broken: Sequence[int] = (), name: str = "order", on_failure: str = "cancel") -> Flow:
    """One job, so many after it, of which some fail, and one after those."""
    flow = Flow(name)
    fetch = flow.add("flow-number", 1, label="Fetch")
    packed = [
        flow.add("fail", f"part {n} is broken", after=[fetch], label=f"Pack {n}")
        if n in broken
        else flow.add("flow-number", n, after=[fetch], label=f"Pack {n}")
        for n in range(parts)
    ]
    flow.add("noop", after=packed, label="Ship", on_failure=on_failure)
    return flow
