"""A node drains, and a process ends at one of its writes, or a write fails: each job runs to its end, and none twice.

See `test_crash_steps.py` and `test_ambiguous.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskscheduler import Status
from taskscheduler.model.audit.entries import DONE
from taskscheduler_daemon.system.kill import kill
from tests.faults.steps.acting import Actor
from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.playing import (
    breaks,
    crash_of_a_node,
    every_crash_of_a_node,
    every_failing_write_of_a_node,
)
from tests.faults.steps.scenarios import Scenario
from tests.faults.steps.stage import LEASE, NODES, PAUSE, Stage, every_step
from tests.support.eventually import eventually
from tests.support.jobs import traces

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


def _one_runs_long(stage: Stage) -> None:
    data = {"trace": stage.log, "until": f"{stage.directory}/release"}
    stage.memory["running"] = stage.scheduler.add_job("wait", data).id


def _release(stage: Stage) -> None:
    Path(stage.directory, "release").touch()


def _drain(stage: Stage, node: Actor) -> bool:
    """Has the node drain while its job runs, and adds another job; whether somebody could ask for it."""
    eventually(lambda: node.ended or traces(stage.log), 20, "it runs")
    boots = [str(one["_id"]) for one in stage.database[NODES].find({"lost": {"$exists": False}}, {"_id": 1})]
    if node.ended or not boots:
        return False
    stage.scheduler.nodes.drain(boots[-1])
    eventually(lambda: node.ended or "node drains" in stage.said("node"), 20, "it drains")
    stage.memory["added"] = stage.scheduler.add_job("trace", stage.log).id
    then = _beats(stage)
    eventually(lambda: node.ended or _beats(stage) > then + 1, 20, "time to claim it, or to end", PAUSE)
    return True


def _beats(stage: Stage) -> int:
    return max((one["beat"] for one in stage.database[NODES].find({}, {"beat": 1})), default=0)


def _drains_and_ends(stage: Stage, node: Actor) -> None:
    """It ends by itself when its job is done."""
    if not _drain(stage, node):
        return
    _release(stage)
    eventually(lambda: node.ended, 30, "it has ended", PAUSE)
    if node.wait() == 0:
        _is_drained(stage)


def _is_drained(stage: Stage) -> None:
    jobs = {job["_id"]: job for job in stage.jobs.find()}
    running, added = jobs[stage.memory["running"]], jobs[stage.memory["added"]]
    assert (running["status"], running["attempt"]) == (Status.DONE, 1), "it has not waited for its job"
    assert (added["status"], added["attempt"]) == (Status.WAITING, 0), "it has taken a new job"
    assert stage.said("node").count("node ready") == 1, "it has begun anew"


def _both_are_done(stage: Stage) -> bool:
    if "added" not in stage.memory:  # the node has ended before it could drain
        return stage.statuses() == {Status.DONE: 1}
    return stage.statuses() == {Status.DONE: 2}


#: with a slot for a new job, and without patience for those that run when it stops
QUICK = {"min_children": 2, "stop_timeout": 0.2}

DRAINS = Scenario(_one_runs_long, _both_are_done, _drains_and_ends, _release, QUICK)


def _loses_its_manager(stage: Stage, node: Actor) -> None:
    """Its session has come to an end, and with it the node: another one runs what is left."""
    if not _drain(stage, node):
        return
    worker = int(traces(stage.log)[-1][2])
    kill(int(Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1]))
    _has_begun_no_session(stage, node)


def _session_crashes(stage: Stage, node: Actor) -> None:
    if _drain(stage, node):
        _has_begun_no_session(stage, node)


def _has_begun_anew(stage: Stage) -> bool:
    return stage.said("node").count("node ready") > 1


def _has_begun_no_session(stage: Stage, node: Actor) -> None:
    eventually(lambda: node.ended or _has_begun_anew(stage), 30, "it has ended", PAUSE)
    assert not _has_begun_anew(stage), "it has begun anew"
    if node.wait() == 0:
        assert stage.jobs.find_one({"_id": stage.memory["added"]})["attempt"] == 0, "it has taken a new job"


LOSES_ITS_MANAGER = replace(DRAINS, during=_loses_its_manager, loses=True)

CRASHES = replace(DRAINS, during=_session_crashes)


@pytest.mark.parametrize("scenario", [DRAINS, LOSES_ITS_MANAGER], ids=["drains", "loses its manager"])
def test_a_node_that_drains_may_crash_at_every_write(stages: list[Stage], scenario: Scenario) -> None:
    every_crash_of_a_node(stages, scenario)


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_every_write_of_a_node_that_drains_may_fail(stages: list[Stage], when: str) -> None:
    every_failing_write_of_a_node(stages, DRAINS, when)


def test_a_session_that_crashes_while_it_drains_is_the_last_one(stages: list[Stage]) -> None:
    """And the node may crash at each of the writes with which it hands back what it holds."""
    for stage in stages:
        stage.without = ("trap: crash while it drains",)
    every_crash_of_a_node(stages, CRASHES)


# -- who asks for it --------------------------------------------------------------------------------------------------


def crash_of_who_drains(stage: Stage, n: int) -> bool:
    """Nothing drains without an entry in the audit log; who got no answer asks again."""
    stage.clear()
    _one_runs_long(stage)
    with stage.acting("node", {"orphaned_timeout": LEASE}) as node:
        eventually(lambda: traces(stage.log), 20, "it runs")
        with stage.acting("drain_for_ana", {}, crash_at=n) as operation:
            code = operation.wait()
        entries = stage.scheduler.audit.entries(what="node.drain")
        drains = stage.database[NODES].count_documents({"drain": True}) > 0
        assert entries or not drains, "it drains, and nobody knows who wanted that"
        assert all(drains for one in entries if one.outcome == DONE), "it should drain, and does not"
        if not drains:
            [boot] = [one["_id"] for one in stage.database[NODES].find()]
            stage.scheduler.nodes.drain(str(boot))
        _release(stage)
        eventually(lambda: node.ended, 30, "it has ended", PAUSE)
        assert node.wait() == 0
    stage.verify()
    assert stage.statuses() == {Status.DONE: 1}
    return code == 0


def test_who_drains_a_node_may_crash_at_every_write(stages: list[Stage]) -> None:
    assert every_step(stages, crash_of_who_drains) > 4


# -- these tests can fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without", "found"),
    [
        ("claiming no more while it drains", "it has taken a new job"),
        ("waiting for jobs while it drains", "it has not waited for its job"),
    ],
)
def test_without_the_mechanism_a_drain_breaks_its_promise(stages: list[Stage], without: str, found: str) -> None:
    failures: Any = breaks(stages, lambda stage, n: crash_of_a_node(stage, DRAINS, n), [without])
    assert found in str(failures[0])


def test_a_node_that_forgets_that_it_drains_begins_anew(stages: list[Stage]) -> None:
    without = ["trap: crash while it drains", "ending after a crash while it drains"]
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, CRASHES, n), without)
