"""Sequences: one at a time, strictly in the order of adding, over retries too; a failure is passed, or blocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.jobs import trace, traces
from tests.support.nodes import NodeProcess

from taskscheduler import DatabaseError, InvalidOptionError, Job, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.declarations.schedules import DeclaredSchedule
from taskscheduler.operations.declare_schedules import declare
from taskscheduler.operations.late import end_late_jobs
from taskscheduler.testing import InlineNode

StartNode = Callable[..., NodeProcess]
HERE = {"jobs": ["tests.support.jobs", "tests.integration.test_sequences"]}


class Step(Job):
    """Traces its number, when it began and ended and whether it failed, which it does as often as its data says."""

    name = "sequences.step"

    def start(self) -> None:
        began = SYSTEM_CLOCK.monotonic()
        while SYSTEM_CLOCK.monotonic() < began + 0.002:
            pass
        fails = self.attempt <= self.data.get("fails", 0)
        trace(self.data["trace"], self.data["number"], began, SYSTEM_CLOCK.monotonic(), fails)
        if fails:
            raise RuntimeError("not yet")


def numbers(path: Path) -> list[int]:
    return [int(words[0]) for words in traces(path)]


def test_sequences_run_in_order_one_at_a_time_over_retries(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    chance = random.Random(7)
    paths = {f"account-{number}": tmp_path / str(number) for number in range(10)}
    options: dict[str, Any] = {"sequence": "{data.account}", "retry": 2, "retry_interval": 0.05}
    jobs = [
        (Step, {"account": name, "trace": str(paths[name]), "number": n, "fails": chance.choice((0, 0, 0, 1))}, options)
        for n in range(12)
        for name in paths
    ]
    added = scheduler.add_jobs(jobs[:60])
    for _ in range(2):
        start_node(**HERE, max_children=4)
    for one in jobs[60:]:
        added += scheduler.add_jobs([one])
    scheduler.wait_for(added, throw=True, timeout=90)
    for path in paths.values():
        found = traces(path)
        assert [int(words[0]) for words in found] == sorted(int(words[0]) for words in found)
        assert {int(words[0]) for words in found} == set(range(12))
        spans = [(float(words[1]), float(words[2])) for words in found]
        assert all(later[0] >= first[1] for first, later in pairwise(spans))


def test_a_later_job_waits_for_one_that_is_not_due_yet(scheduler: Scheduler, tmp_path: Path) -> None:
    path = tmp_path / "order"
    first = scheduler.add_job(Step, {"trace": str(path), "number": 1}, sequence="s", at=timedelta(hours=1))
    second = scheduler.add_job(Step, {"trace": str(path), "number": 2}, sequence="s", priority=9)
    with InlineNode(scheduler) as node:
        assert node.run_until_idle() == []
        assert second.refresh().status is Status.POSTPONED
        node.advance(3601)
        node.run_until_idle()
    assert numbers(path) == [1, 2]
    assert first.refresh().status is Status.DONE


def test_a_failed_job_is_passed(scheduler: Scheduler, tmp_path: Path) -> None:
    failing, other = (
        scheduler.add_job(Step, {"trace": str(tmp_path / "t"), "number": n, "fails": 1 - n}, sequence="s")
        for n in range(2)
    )
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert (failing.refresh().status, other.refresh().status) == (Status.FAILED, Status.DONE)
    assert scheduler.sequences.blocked() == []


@pytest.mark.parametrize("way", ["retry", "delete", "release"])
def test_a_failed_job_blocks_until_somebody_deals_with_it(scheduler: Scheduler, tmp_path: Path, way: str) -> None:
    path = tmp_path / "order"
    failing, other = (
        scheduler.add_job(
            Step,
            {"trace": str(path), "number": n, "fails": 1 - n},
            sequence="s",
            sequence_on_failure="block",
        )
        for n in range(2)
    )
    with InlineNode(scheduler) as node:
        node.run_until_idle()
        assert (failing.refresh().status, other.refresh().status) == (Status.FAILED, Status.POSTPONED)
        [blocked] = scheduler.sequences.blocked()
        assert (blocked.key, blocked.job, blocked.job_class, blocked.waiting) == ("s", failing.id, "sequences.step", 1)
        assert blocked.error is not None
        assert blocked.error["message"] == "not yet"
        if way == "retry":
            scheduler.retry_job(failing.id)
        elif way == "delete":
            scheduler.delete_job(failing.id)
        else:
            assert scheduler.sequences.release("s")
            assert not scheduler.sequences.release("s")
        node.run_until_idle()
    assert other.refresh().status is Status.DONE
    assert scheduler.sequences.blocked() == []
    assert numbers(path) == ([0, 0, 1] if way == "retry" else [0, 1])


@pytest.mark.parametrize("way", ["cancel", "delete", "late"])
def test_the_next_one_runs_if_the_one_before_it_ends_without_running(scheduler: Scheduler, way: str) -> None:
    timing: dict[str, Any] = {"start_by": 0.2} if way == "late" else {"at": timedelta(hours=1)}
    first = scheduler.add_job("noop", sequence="s", **timing)
    second = scheduler.add_job("noop", sequence="s")
    if way == "cancel":
        first.cancel()
    elif way == "delete":
        scheduler.delete_job(first.id)
    else:
        eventually(lambda: end_late_jobs(scheduler.store), 30)
    assert second.refresh().status is Status.WAITING


def test_a_cancelled_job_does_not_block(scheduler: Scheduler) -> None:
    first, second = (scheduler.add_job("noop", sequence="s", sequence_on_failure="block") for _ in range(2))
    first.cancel()
    assert second.refresh().status is Status.WAITING
    assert scheduler.sequences.blocked() == []


def test_a_wrong_option_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match='option sequence_on_failure must be "skip" or "block"'):
        scheduler.add_job("noop", sequence="s", sequence_on_failure="stop")
    with pytest.raises(InvalidOptionError, match="option sequence"):
        scheduler.add_job("noop", sequence="")


def test_where_nobody_has_used_a_sequence_there_are_none_and_no_index_is_asked_for(scheduler: Scheduler) -> None:
    scheduler.add_job("noop")
    assert scheduler.sequences.blocked() == []
    assert scheduler.sequences.release("s") is False
    assert scheduler.select("sequence:s status:live").count() == 0
    assert scheduler.store.sequences.head("s") is None
    assert "sequence" not in scheduler.store.jobs.collection.index_information()


def test_without_its_index_no_sequence_is_taken_for_empty_and_a_node_makes_it_again(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    added = scheduler.add_jobs([("noop", None, {"sequence": "s"})] * 3)
    scheduler.store.jobs.collection.drop_index("sequence")
    with pytest.raises(DatabaseError):
        scheduler.sequences.blocked()
    start_node()
    scheduler.wait_for(added, throw=True, timeout=30)
    assert scheduler.sequences.blocked() == []


def test_a_schedule_of_the_code_has_the_index_made_before_its_first_run(scheduler: Scheduler) -> None:
    made_in_code = DeclaredSchedule("nightly", "noop", None, {"every": 60}, {"sequence": "s"}, False, False, False)
    declare(scheduler.store, ObjectId(), [made_in_code], datetime.now(UTC))
    scheduler.schedules.run("nightly")
    found = scheduler.store.sequences.head("s")
    assert found is not None
    assert found["schedule"] == "nightly"
