"""What a node, or an application, does while the fault strikes; where it should lead, however often it is repeated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId

from taskscheduler import Status
from taskscheduler_daemon.system.kill import kill
from tests.faults.steps.acting import FAILED, Actor
from tests.faults.steps.stage import JOBS, NODES, PAUSE, Stage
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import is_running

_FAR = timedelta(hours=1)
_MANY_LOSSES = 10
_ONE_WORKER = {"pm": "static", "min_children": 1, "max_children": 1}


def _nothing(_stage: Stage) -> None:
    """There is nothing to do."""


def _watch(_stage: Stage, _node: Actor) -> None:
    """Only look on."""


@dataclass(frozen=True)
class Scenario:
    """One thing that a node does."""

    prepare: Callable[[Stage], None]
    reached: Callable[[Stage], bool]  #: whether it has come to where it should
    during: Callable[[Stage, Actor], None] = _watch  #: what happens while the node is there
    heal: Callable[[Stage], None] = _nothing  #: what is done before a healthy node looks after it
    facts: Mapping[str, Any] = field(default_factory=dict)  #: options of the node
    loses: bool = False  #: whether a process dies in it
    check: Callable[[Stage], None] = _nothing  #: what else must be true of it


@dataclass(frozen=True)
class Change(ABC):
    """One call of an application that changes what a node may run."""

    what: str  #: the operation of `acting`
    prepare: Callable[[Stage], None]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def verify(self, stage: Stage) -> None:
        """What must be true when its process has ended, and what the caller does who got no answer."""

    def check_answer(self, stage: Stage, code: int) -> None:
        """What must be true of the answer, or the error, that it got."""
        assert code in (0, FAILED), stage.said(self.what)[-2000:]


def ready(stage: Stage, node: Actor) -> None:
    """The node looks for jobs, or has crashed before."""
    eventually(lambda: node.ended or "node ready" in stage.said("node"), 30, "node ready")


def _all(status: Status, count: int) -> Callable[[Stage], bool]:
    return lambda stage: stage.statuses() == {status: count}


# -- jobs that end ----------------------------------------------------------------------------------------------------


def _three_wait(stage: Stage) -> None:
    stage.scheduler.add_jobs([("trace", stage.log)] * 3)


def _three_take_turns(stage: Stage) -> None:
    stage.scheduler.add_jobs([("trace", stage.log, {"group": name}) for name in "aab"])


def _one_wakes_the_node(stage: Stage, node: Actor) -> None:
    ready(stage, node)
    stage.scheduler.add_job("trace", stage.log)


def _many_wait(stage: Stage) -> None:
    """The node has room for some of them."""
    stage.scheduler.add_jobs([("wait", {"seconds": 0.02})] * 16)


def _an_urgent_one_comes(stage: Stage, node: Actor) -> None:
    eventually(lambda: node.ended or stage.statuses()[Status.DONE] >= 2, 30, "it is busy", PAUSE)
    stage.scheduler.add_job("trace", stage.log, priority=1)


def _one_gives_a_result(stage: Stage) -> None:
    stage.scheduler.add_job("echo", {"n": 1}, force_spawn=True)


def _one_fails_first(stage: Stage) -> None:
    stage.scheduler.add_job("flaky", 2, retry=1, retry_interval=0.05)


def _one_snoozes(stage: Stage) -> None:
    stage.scheduler.add_job("snoozes", 1)


def _one_is_too_late(stage: Stage) -> None:
    stage.scheduler.add_job("noop", queue="nobody", start_by=0.1)


def _one_is_due_soon(stage: Stage) -> None:
    stage.scheduler.add_job("trace", stage.log, at=timedelta(seconds=0.3))


def _parent_with_two_children(stage: Stage) -> None:
    parent = stage.scheduler.add_job("noop", at=_FAR)
    stage.scheduler.add_job("noop", at=_FAR, parent=parent.id)
    stage.scheduler.add_job("fail", parent=parent.id)


def _family_is_settled(stage: Stage) -> bool:
    return stage.statuses() == {Status.FAILED: 2, Status.CANCELED: 1} and stage.settled()


def _three_of_a_batch(stage: Stage) -> None:
    stage.scheduler.add_jobs([("gather", {"trace": _batches(stage), "n": n}) for n in range(3)])


def _batches(stage: Stage) -> str:
    return f"{stage.log}.batches"


def _each_ran(stage: Stage) -> None:
    """And none more often than it has attempts."""
    started = Counter(words[1] for words in traces(_batches(stage)) if words[0] == "item")
    for job in stage.jobs.find():
        assert 1 <= started[str(job["_id"])] <= job["attempt"], (job, started)


# -- series -----------------------------------------------------------------------------------------------------------


def _series(stage: Stage) -> None:
    stage.memory["series"] = stage.scheduler.add_job("trace", stage.log, interval=0.2).id


def _series_once(stage: Stage) -> None:
    job = stage.scheduler.add_job_once("trace", stage.log, interval=0.2)
    stage.memory |= {"series": job.id, "key": job.to_dict()["once"]}


def _series_of_failures(stage: Stage) -> None:
    stage.memory["series"] = stage.scheduler.add_job("fail", interval=0.2, interval_reference="start").id


def _two_runs(stage: Stage) -> bool:
    return sum(count for status, count in stage.statuses().items() if status.is_final) >= 2


def _two_runs_and_the_key_is_kept(stage: Stage) -> bool:
    if not _two_runs(stage):
        return False
    again = stage.scheduler.add_job_once("trace", stage.log, interval=0.2)
    assert (again.outcome, again.series) == ("existing", stage.memory["series"])
    return True


# -- schedules --------------------------------------------------------------------------------------------------------


def _schedule(stage: Stage) -> None:
    """Of three times that are past, and of one that comes."""
    stage.schedule(3, runs=4)


def _four_times(stage: Stage) -> bool:
    return stage.statuses() == {Status.DONE: 4} and stage.is_settled_schedule()


# -- pauses -----------------------------------------------------------------------------------------------------------


def _three_are_paused_for_a_second(stage: Stage) -> None:
    """Nobody has parked them: whoever meets them does."""
    stage.scheduler.pause(job="trace", until=1.0)
    _three_wait(stage)


# -- what dead nodes left ---------------------------------------------------------------------------------------------


def _held_by_the_dead(lost: int, **options: Any) -> Callable[[Stage], None]:
    """A job that a node has claimed which died half a second ago."""

    def prepare(stage: Stage) -> None:
        boot, job = ObjectId(), stage.scheduler.add_job("trace", stage.log, **options)
        stage.memory["job"] = job.id
        now = stage.database.command("hello")["localTime"]
        claimed = {"status": 2, "claim": "0" * 32, "boot": boot, "node": "dead", "attempt": 1, "lost": lost}
        claimed["worker"] = "1" * 24  # it had begun, alone
        stage.database[JOBS].update_one({"_id": job.id}, {"$set": {**claimed, "started": now}})
        stage.database[NODES].insert_one({"_id": boot, "name": "dead", "beat": 7, "lease": 0.5, "alive": now})

    return prepare


def _poisoned_and_followed(stage: Stage) -> bool:
    statuses = stage.statuses()
    return statuses[Status.FAILED] == 1 and statuses[Status.DONE] >= 1


# -- running jobs -----------------------------------------------------------------------------------------------------


def _one_runs_long(stage: Stage) -> None:
    data = {"trace": stage.log, "until": f"{stage.directory}/release"}
    stage.memory["job"] = stage.scheduler.add_job("wait", data).id


def _release(stage: Stage) -> None:
    Path(stage.directory, "release").touch()


def _started(stage: Stage, node: Actor) -> bool:
    eventually(lambda: node.ended or traces(stage.log), 20, "it runs")
    return not node.ended


def _cancel_what_runs(stage: Stage, node: Actor) -> None:
    _started(stage, node)
    stage.scheduler.cancel_job(stage.memory["job"])


def _canceled_and_gone(stage: Stage) -> bool:
    gone = not any(is_running(int(words[2])) for words in traces(stage.log))
    return stage.statuses() == {Status.CANCELED: 1} and gone


def _stop_the_node(stage: Stage, node: Actor) -> None:
    if _started(stage, node):
        node.terminate()


def _handed_back_or_done(stage: Stage) -> bool:
    return stage.statuses()[Status.PROCESSING] == 0


def _kill_the_worker(stage: Stage, node: Actor) -> None:
    if _started(stage, node) and len(traces(stage.log)) == 1:
        kill(int(traces(stage.log)[0][2]))
        eventually(lambda: node.ended or len(traces(stage.log)) > 1, 20, "it runs again")
        _release(stage)


SCENARIOS: Mapping[str, Scenario] = {
    "claim and finish": Scenario(_three_wait, _all(Status.DONE, 3)),
    "a batch": Scenario(_three_of_a_batch, _all(Status.DONE, 3), check=_each_ran),
    "claim in turn": Scenario(_three_take_turns, _all(Status.DONE, 3)),
    "claim what wakes it": Scenario(_nothing, _all(Status.DONE, 1), _one_wakes_the_node),
    "claim an urgent one beyond its room": Scenario(
        _many_wait, _all(Status.DONE, 17), _an_urgent_one_comes, facts=_ONE_WORKER
    ),
    "a worker of its own": Scenario(_one_gives_a_result, _all(Status.DONE, 1)),
    "retry": Scenario(_one_fails_first, _all(Status.DONE, 1)),
    "snooze": Scenario(_one_snoozes, _all(Status.DONE, 1)),
    "too late": Scenario(_one_is_too_late, _all(Status.CANCELED, 1), facts={"queues": ["default"]}),
    "promote": Scenario(_one_is_due_soon, _all(Status.DONE, 1)),
    "family": Scenario(_parent_with_two_children, _family_is_settled),
    "interval": Scenario(_series, _two_runs),
    "interval of a job added once": Scenario(_series_once, _two_runs_and_the_key_is_kept),
    "interval of failures": Scenario(_series_of_failures, _two_runs),
    "schedule": Scenario(_schedule, _four_times),
    "pause": Scenario(_three_are_paused_for_a_second, _all(Status.DONE, 3)),
    "reap": Scenario(_held_by_the_dead(0), _all(Status.DONE, 1), loses=True),
    "reap a poisoned series": Scenario(
        _held_by_the_dead(_MANY_LOSSES - 1, interval=0.2), _poisoned_and_followed, loses=True
    ),
    "cancel what runs": Scenario(_one_runs_long, _canceled_and_gone, _cancel_what_runs),
    "hand back": Scenario(_one_runs_long, _handed_back_or_done, _stop_the_node, _release),
    "a worker dies": Scenario(_one_runs_long, _all(Status.DONE, 1), _kill_the_worker, _release, loses=True),
}
