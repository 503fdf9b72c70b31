"""What happens to jobs with steps, sleeps and signals while the fault strikes; see `scenarios.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from taskscheduler import InvalidStateError, Status
from tests.faults.steps.acting import Actor
from tests.faults.steps.orders import values
from tests.faults.steps.scenarios import Change, Scenario
from tests.faults.steps.stage import Stage, healed
from tests.support.eventually import eventually
from tests.support.jobs import traces


def order(**data: Any) -> Callable[[Stage], None]:
    """One such job."""

    def prepare(stage: Stage) -> None:
        then = {"then": f"{stage.directory}/told"} if "then" in data else {}
        given = {"trace": stage.log, **data, **then, **stage.memory.get("faults", {})}
        stage.memory["job"] = stage.scheduler.add_job("faulty_order", given).id

    return prepare


def _told_before(stage: Stage) -> None:
    order(wait=True)(stage)
    tell(stage)


def tell(stage: Stage) -> None:
    """Give the signal, and note who was first and what that was."""
    try:
        told = stage.scheduler.signal(stage.memory["job"], "go", 7)
    except InvalidStateError:
        return  # it has ended: by the signal that was given before
    stage.memory["told"] = "timeout" if told.timed_out else str(told.value)


def _waits(stage: Stage) -> bool:
    return stage.jobs.find_one({"status": int(Status.POSTPONED), "awaits.name": "go"}) is not None


def _tell_while_it_waits(stage: Stage, node: Actor) -> None:
    eventually(lambda: node.ended or _waits(stage), 20, "it waits")
    tell(stage)


def _tell_while_it_ends(stage: Stage, node: Actor) -> None:
    """Between its decision to wait and the write of that."""
    eventually(lambda: node.ended or traces(f"{stage.log}.ending"), 20, "it is about to wait")
    tell(stage)
    _end(stage)


def _end(stage: Stage) -> None:
    (stage.directory / "told").touch()


def _tell_at_the_time(stage: Stage, node: Actor) -> None:
    eventually(lambda: node.ended or _waits(stage) or _done(stage), 20, "it waits, or has given up")
    job = stage.jobs.find_one({"awaits.until": {"$exists": True}})
    if job is not None:
        now = stage.scheduler.store.clock.now().replace(tzinfo=None)
        stage.scheduler.store.clock.pause((job["awaits"]["until"] - now).total_seconds())
    tell(stage)


def _done(stage: Stage) -> bool:
    return stage.statuses() == {Status.DONE: 1}


def done_as_told(stage: Stage) -> bool:
    """Whether it has ended, with what the callers were told."""
    if not _done(stage):
        return False
    expected = {stage.memory.get("told", "timeout")}
    assert values(stage.log, "go") == expected, f"callers were told {expected}, the job {values(stage.log, 'go')}"
    return True


@dataclass(frozen=True)
class SignalChange(Change):
    """A program gives a signal to a job that waits for it."""

    def check_answer(self, stage: Stage, code: int) -> None:
        """It repeats its write until it knows: it was the first."""
        assert code == 0
        assert traces(f"{stage.log}.told") == [["True", "5"]], "it was the first, and knows it"

    def verify(self, stage: Stage) -> None:
        """Who got no answer gives the signal again, and learns whether the one before has come."""
        tell(stage)
        assert not stage.acknowledged or stage.memory["told"] == "5"
        healed(stage, done_as_told)
        stage.verify()


def _waits_for_it(stage: Stage) -> None:
    order(wait=True)(stage)
    stage.run_inline()


SIGNAL = SignalChange("signal", _waits_for_it, {"value": 5})

ORDERS: Mapping[str, Scenario] = {
    "steps": Scenario(order(), _done),
    "sleep": Scenario(order(sleep=0.1), _done),
    "signal before it waits": Scenario(_told_before, done_as_told),
    "signal while it waits": Scenario(order(wait=True), done_as_told, _tell_while_it_waits),
    "signal while it ends": Scenario(order(wait=True, then=True), done_as_told, _tell_while_it_ends, _end),
    "timeout": Scenario(order(wait=True, timeout=0.1), done_as_told),
    "timeout and signal at once": Scenario(order(wait=True, timeout=0.3), done_as_told, _tell_at_the_time),
}
