"""Logs, history and the audit log: a process ends at one of its writes, or a write fails: what is stored is true.

See `test_crash_steps.py` and `test_ambiguous.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskscheduler import Status
from taskscheduler.model.audit.entries import BEGUN, DONE, FAILED
from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.playing import (
    breaks,
    crash_of_a_node,
    crash_of_an_operation,
    every_crash_of_a_node,
    every_failing_write_of_a_node,
    failing_write,
    failing_write_of_a_node,
)
from tests.faults.steps.scenarios import Scenario
from tests.faults.steps.stage import Stage, every_step
from tests.support.jobs import traces

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

TIMES = 3

PORTIONS = 3

SAID = [text for number in range(TIMES) for text in (f"printed {number}", f"logged {number}")]


# -- logs -------------------------------------------------------------------------------------------------------------


def _logs_are_true(stage: Stage) -> None:
    """Each attempt has the beginning of what it said, once and in its order; the one that ended the job all of it."""
    [job] = stage.jobs.find()
    said = [
        [line.text for line in stage.scheduler.logs.lines(job["_id"], attempt + 1)] for attempt in range(job["attempt"])
    ]
    assert all(texts == SAID[: len(texts)] for texts in said), said
    assert said[-1] == SAID, f"the job is done, and its log is not whole: {said}"


TALKS = Scenario(
    lambda stage: stage.memory.update(job=stage.scheduler.add_job("say_slowly", TIMES).id),
    lambda stage: stage.statuses() == {Status.DONE: 1},
    check=_logs_are_true,
)


def test_a_node_may_crash_at_every_write_of_a_log(stages: list[Stage]) -> None:
    every_crash_of_a_node(stages, TALKS)


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_every_write_of_a_log_may_fail(stages: list[Stage], when: str) -> None:
    every_failing_write_of_a_node(stages, TALKS, when)


def test_without_storing_logs_before_an_end_one_is_not_whole(stages: list[Stage]) -> None:
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, TALKS, n), ["storing logs before an end"])


def test_without_storing_logs_until_it_is_known_lines_are_lost(stages: list[Stage]) -> None:
    without = ["storing logs until it is known"]
    assert breaks(stages, lambda stage, n: failing_write_of_a_node(stage, TALKS, n, BEFORE), without)


# -- history ----------------------------------------------------------------------------------------------------------


def _counted(stage: Stage, known: int) -> None:
    """What is known to be counted is, once, in the minute and in the hour; and at most what was sent last, too."""
    minutes, hours = (
        sum(point.ended for point in stage.scheduler.metrics.points(7200, step=step)) for step in (60, 3600)
    )
    assert minutes == hours
    assert known <= minutes <= min(known + 1, PORTIONS), f"{minutes} are counted, and {known} were known to be"


def _facts(stage: Stage) -> dict[str, Any]:
    stage.clear()
    return {"portions": PORTIONS, "counted": f"{stage.directory}/counted"}


def crash_of_a_count(stage: Stage, n: int) -> bool:
    facts = _facts(stage)
    return crash_of_an_operation(stage, "count", facts, n, lambda stage: _counted(stage, len(traces(facts["counted"]))))


def failing_count(stage: Stage, n: int, when: str) -> bool:
    code, struck = failing_write(stage, "count", _facts(stage), n, when)
    assert code == 0
    _counted(stage, PORTIONS)
    return not struck


def test_a_node_may_crash_at_every_write_of_the_history(stages: list[Stage]) -> None:
    assert every_step(stages, crash_of_a_count) > 2 * PORTIONS


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_every_write_of_the_history_may_fail(stages: list[Stage], when: str) -> None:
    assert every_step(stages, lambda stage, n: failing_count(stage, n, when)) > PORTIONS


def test_without_counting_a_portion_once_it_is_counted_twice(stages: list[Stage]) -> None:
    assert breaks(stages, lambda stage, n: failing_count(stage, n, AFTER), ["counting a portion once"])


# -- the audit log ----------------------------------------------------------------------------------------------------


def _cancellable(stage: Stage) -> dict[str, Any]:
    stage.clear()
    stage.memory["job"] = stage.scheduler.add_job("trace", stage.log, at=timedelta(hours=1)).id
    return {"id": str(stage.memory["job"])}


def _entry_is_true(stage: Stage) -> None:
    """Nothing was done without an entry; one that says how it ended says the truth; one that does not is open."""
    entries = stage.scheduler.audit.entries()
    is_cancelled = stage.statuses() == {Status.CANCELED: 1}
    assert len(entries) <= 1
    assert entries or not is_cancelled, "somebody has cancelled it, and nobody knows who"
    for entry in entries:
        assert (entry.who, entry.what, entry.target) == ("ana", "job.cancel", str(stage.memory["job"]))
        assert entry.outcome in (BEGUN, DONE, FAILED)
        assert entry.outcome != DONE or is_cancelled


def crash_of_an_action(stage: Stage, n: int) -> bool:
    return crash_of_an_operation(stage, "cancel_for_ana", _cancellable(stage), n, _entry_is_true)


def failing_action(stage: Stage, n: int, when: str) -> bool:
    code, struck = failing_write(stage, "cancel_for_ana", _cancellable(stage), n, when)
    _entry_is_true(stage)
    assert code or stage.statuses() == {Status.CANCELED: 1}
    return not struck


def test_who_acts_may_crash_at_every_write(stages: list[Stage]) -> None:
    assert every_step(stages, crash_of_an_action) > 4


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_every_write_of_an_action_may_fail(stages: list[Stage], when: str) -> None:
    assert every_step(stages, lambda stage, n: failing_action(stage, n, when)) > 2


def test_without_an_entry_before_the_action_nobody_knows_who_it_was(stages: list[Stage]) -> None:
    assert breaks(stages, crash_of_an_action, ["an entry before the action"])
