"""A job that commits: what it writes in the session and its end as DONE are one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tests.support.commits  # noqa: F401
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess, is_running

from taskscheduler import InvalidStateError, Job, JobFailedError, Scheduler, Service, Status
from taskscheduler.testing import InlineNode

Database_ = Database[dict[str, Any]]

JOBS = ["tests.support.jobs", "tests.support.commits"]
BOTH = pytest.mark.parametrize("name", ["pays", "pays_async"])


@pytest.fixture(autouse=True)
def collections(database: Database_, scheduler: Scheduler) -> None:
    database.create_collection("effects")
    database.counters.insert_one({"_id": 1, "n": 0})
    assert scheduler.counts() is not None


@pytest.fixture
def inline(scheduler: Scheduler) -> Iterator[InlineNode]:
    with InlineNode(scheduler) as node:
        yield node


@pytest.fixture
def node(start_node: Callable[..., NodeProcess]) -> NodeProcess:
    return start_node(jobs=JOBS, min_children=2, pm="static", kill_grace=0.3)


def effects(database: Database_) -> list[tuple[Any, int]]:
    return [(effect["job"], effect["attempt"]) for effect in database.effects.find()]


def stored(scheduler: Scheduler, job_id: Any) -> dict[str, Any]:
    document: dict[str, Any] | None = scheduler.store.jobs.get(job_id)
    assert document is not None
    return document


def pid_after_its_commit(trace: str) -> int:
    """The process of a job that goes on; others learn that it is DONE before its next line runs."""
    eventually(lambda: [words for words in traces(trace) if words[0] == "after"], 20, "it goes on after its commit")
    (pid,) = (int(words[3]) for words in traces(trace) if words[0] == "after")
    return pid


# -- in this process --------------------------------------------------------------------------------------------------


@BOTH
def test_the_effect_and_the_end_are_written_together(
    scheduler: Scheduler, database: Database_, inline: InlineNode, name: str
) -> None:
    job = scheduler.add_job(name, {})
    inline.run_due()
    job.refresh()
    assert (job.status, job.result_value, job.progress) == (Status.DONE, "paid", 100)
    assert effects(database) == [(job.id, 1)]
    assert "committing" not in stored(scheduler, job.id)


@BOTH
def test_an_exception_in_the_block_aborts_and_goes_on(
    scheduler: Scheduler, database: Database_, inline: InlineNode, name: str
) -> None:
    job = scheduler.add_job(name, {"in": "raise"}, retry=1, retry_interval=0)
    inline.run_due()
    assert effects(database) == []
    assert (job.refresh().status, "in the block" in str(job.error)) == (Status.WAITING, True)
    inline.run_due()
    assert (job.refresh().status, effects(database)) == (Status.DONE, [(job.id, 2)])


@BOTH
@pytest.mark.parametrize("after", ["raise", "again"])
def test_what_comes_after_the_block_changes_nothing(
    scheduler: Scheduler, database: Database_, inline: InlineNode, name: str, after: str, caplog: Any
) -> None:
    job = scheduler.add_job(name, {"after": after}, retry=3)
    with caplog.at_level(logging.ERROR):
        inline.run_due()
    assert "job failed after its commit; it is DONE" in caplog.text
    assert ("the job has committed" in caplog.text) == (after == "again")
    assert (job.refresh().status, job.result_value, job.attempt) == (Status.DONE, "paid", 1)
    assert effects(database) == [(job.id, 1)]


@pytest.mark.parametrize("name", ["pays_with", "pays_with_async"])
def test_a_write_conflict_is_answered_by_another_transaction(
    scheduler: Scheduler, database: Database_, inline: InlineNode, name: str
) -> None:
    job = scheduler.add_job(name, {"n": 3})
    inline.run_due()
    assert (job.refresh().status, job.result_value, effects(database)) == (Status.DONE, 3, [(job.id, 1)])
    assert database.counters.find_one() == {"_id": 1, "n": 3}


def test_progress_in_the_block_does_not_conflict(scheduler: Scheduler, database: Database_, inline: InlineNode) -> None:
    job = scheduler.add_job("pays", {"before": "progress", "in": "progress"})
    inline.run_due()
    assert (job.refresh().status, job.message, effects(database)) == (Status.DONE, "in the block", [(job.id, 1)])


class Misuses(Job):
    """Does with a commit what it must not."""

    name = "misuses"

    def start(self) -> None:
        with pytest.raises(InvalidStateError, match="has begun already"), self.commit(), self.commit():
            pass
        with pytest.raises(InvalidStateError, match="is over; leave it"), self.commit() as session:
            session.abort_transaction()
        with pytest.raises(ValueError, match="cannot be stored"):
            self.commit(result=object())
        self.fail("as planned")


class MisusesAsync(Job):
    """Takes the wrong block."""

    name = "misuses_async"

    async def start(self) -> None:
        with pytest.raises(InvalidStateError, match="async with"), self.commit():
            pass


def test_misuse_is_an_error_and_the_job_goes_on(scheduler: Scheduler, inline: InlineNode) -> None:
    job, other = scheduler.add_job(Misuses), scheduler.add_job(MisusesAsync)
    inline.run_due()
    assert (job.refresh().status, (job.error or {})["message"]) == (Status.FAILED, "as planned")
    assert other.refresh().status is Status.DONE


class Lasting(Service):
    """Cannot commit."""

    name = "lasting"

    def start(self) -> None:
        with pytest.raises(InvalidStateError, match="a service cannot commit"):
            self.commit()


def test_a_service_cannot_commit(scheduler: Scheduler, inline: InlineNode) -> None:
    scheduler.start_service(Lasting, name="s")
    (service,) = inline.run_due()
    assert service.error is None


def test_an_async_job_needs_a_uri(database: Database_) -> None:
    with Scheduler(database) as scheduler, InlineNode(scheduler) as node:
        job = scheduler.add_job("pays_async", {})
        node.run_due()
        assert "needs a scheduler that was given a URI" in str(job.refresh().error)


@BOTH
def test_the_next_run_of_an_interval_follows(
    scheduler: Scheduler, database: Database_, inline: InlineNode, name: str
) -> None:
    job = scheduler.add_job_once(name, {}, interval=60)
    inline.run_due()
    inline.advance(60)
    inline.run_due()
    assert [status for _, status in sorted((run.created, run.status) for run in scheduler.get_jobs({}))] == [
        Status.DONE,
        Status.DONE,
        Status.POSTPONED,
    ]
    assert len(effects(database)) == 2
    assert scheduler.add_job_once(name, {}, interval=60).series == job.id


def test_a_job_that_was_cancelled_writes_nothing(scheduler: Scheduler, database: Database_, inline: InlineNode) -> None:
    class Cancels(Job):
        name = "cancels"

        def start(self) -> None:
            with self.commit() as session:
                self.database.effects.insert_one({"job": self.id, "attempt": 1}, session=session)
                if self.data == "in":
                    self.scheduler.cancel_job(self.id)
            raise AssertionError("not reached")

    job = scheduler.add_job(Cancels, "in")
    inline.run_due()
    assert (job.refresh().status, effects(database)) == (Status.CANCELED, [])


# -- on a node --------------------------------------------------------------------------------------------------------


@BOTH
def test_a_job_on_a_node_commits(scheduler: Scheduler, database: Database_, node: NodeProcess, name: str) -> None:
    job = scheduler.add_job(name, {})
    assert job.result(timeout=30) == "paid"
    assert effects(database) == [(job.id, 1)]
    document = stored(scheduler, job.id)
    assert (document["attempt"], document["progress"], "committing" in document) == (1, 100, False)
    assert document["worker"]
    eventually(lambda: scheduler.store.events.of_job(job.id, 5)[-1].status is Status.DONE, 10, "logged")


def test_what_follows_the_end_of_a_job_follows_a_commit(
    scheduler: Scheduler, database: Database_, node: NodeProcess, tmp_path: Path
) -> None:
    scheduler.limits.set("x", concurrency=1)
    data = {"trace": str(tmp_path / "trace"), "after": "wait", "until": str(tmp_path / "until")}
    job = scheduler.add_job("pays_and_tells", data, limits="x")
    job.wait(timeout=30)
    follower = scheduler.add_job("noop", limits="x")
    follower.wait(timeout=30)  # DONE is over for the limit, although the process goes on
    assert not [words for words in traces(data["trace"]) if words[0] == "told"]
    Path(data["until"]).touch()
    eventually(lambda: ["told", "done", "paid"] in traces(data["trace"]), 20, "told")
    assert ["outcome", "done"] in traces(data["trace"])


def test_a_job_goes_on_after_its_commit_for_as_long_as_it_takes(
    scheduler: Scheduler, database: Database_, node: NodeProcess, tmp_path: Path
) -> None:
    """Nodes look every two seconds for attempts that are not theirs any more."""
    data = {"trace": str(tmp_path / "trace"), "after": "wait", "until": str(tmp_path / "until")}
    job = scheduler.add_job("pays", data)
    job.wait(timeout=30)
    pid = pid_after_its_commit(data["trace"])
    scheduler.cancel_job(job.id)
    scheduler.add_job("noop", at=timedelta(seconds=4)).wait(timeout=30)
    assert is_running(pid)
    Path(data["until"]).touch()
    eventually(lambda: ["outcome", "done"] in traces(data["trace"]), 20, "over")
    assert (job.refresh().status, effects(database)) == (Status.DONE, [(job.id, 1)])


@pytest.mark.parametrize("name", ["pays", "pays_async"])
def test_a_worker_that_dies_after_the_commit_has_done_its_job(
    scheduler: Scheduler, database: Database_, node: NodeProcess, name: str
) -> None:
    job = scheduler.add_job(name, {"after": "die"}, retry=3, interval=3600)
    job.wait(timeout=30)
    eventually(lambda: len(list(scheduler.get_jobs({}))) == 2, 20, "the next run is planned")
    assert (job.refresh().status, job.attempt, stored(scheduler, job.id)["lost"]) == (Status.DONE, 1, 0)
    assert effects(database) == [(job.id, 1)]


def test_a_worker_that_dies_in_the_block_leaves_nothing_locked(
    scheduler: Scheduler, database: Database_, node: NodeProcess
) -> None:
    """Its transaction would keep its effect locked for a minute: the next attempt could not write the same document."""
    database.effects.create_index("job", unique=True)
    job = scheduler.add_job("pays", {"in": "die"})
    assert job.result(timeout=20) == "paid"
    assert effects(database) == [(job.id, job.attempt)]
    assert job.attempt > 1


def test_a_timeout_after_the_commit_changes_nothing(
    scheduler: Scheduler, database: Database_, node: NodeProcess, tmp_path: Path
) -> None:
    data = {"trace": str(tmp_path / "trace"), "after": "wait", "until": str(tmp_path / "never")}
    job = scheduler.add_job("pays", data, timeout=4)
    job.wait(timeout=30)
    pid = pid_after_its_commit(data["trace"])
    eventually(lambda: not is_running(pid), 20, "killed")
    assert (job.refresh().status, job.result_value) == (Status.DONE, "paid")


def test_a_job_that_is_cancelled_in_the_block_writes_nothing(
    scheduler: Scheduler, database: Database_, node: NodeProcess, tmp_path: Path
) -> None:
    data = {"trace": str(tmp_path / "trace"), "in": "wait", "until": str(tmp_path / "until")}
    job = scheduler.add_job("pays", data)
    eventually(lambda: [words for words in traces(data["trace"]) if words[0] == "in"], 20, "in the block")
    scheduler.cancel_job(job.id)
    Path(data["until"]).touch()
    eventually(lambda: any(words[0] == "outcome" for words in traces(data["trace"])), 20, "over")
    assert (job.refresh().status, effects(database)) == (Status.CANCELED, [])
    assert scheduler.add_job("pays", {}).result(timeout=30) == "paid"


def test_signs_of_life_in_a_long_block_do_not_conflict(
    scheduler: Scheduler, database: Database_, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """A node notes every few seconds that a job lives, and passes on its progress."""
    start_node(jobs=JOBS, orphaned_timeout=2, scheduler_options={"progress_rate_limit": 0})
    data = {"before": "progress", "trace": str(tmp_path / "trace"), "in": "wait", "until": str(tmp_path / "until")}
    job = scheduler.add_job("pays", data)
    eventually(lambda: [words for words in traces(data["trace"]) if words[0] == "in"], 20, "in the block")
    scheduler.add_job("noop", at=timedelta(seconds=3)).wait(timeout=30)
    Path(data["until"]).touch()
    assert job.result(timeout=20) == "paid"
    assert (effects(database), job.attempt) == ([(job.id, 1)], 1)


def test_a_job_adds_another_one_in_its_commit(scheduler: Scheduler, database: Database_, inline: InlineNode) -> None:
    class Continues(Job):
        name = "continues"

        def start(self) -> None:
            with self.commit() as session:
                self.scheduler.add_job("noop", "next", session=session)
                if self.attempt == 1:
                    self.fail("not yet")

    job = scheduler.add_job(Continues, retry=1, retry_interval=0)
    inline.run_due()
    assert len(list(scheduler.get_jobs({}))) == 1
    inline.run_due()
    assert job.refresh().status is Status.DONE
    assert [other.data for other in scheduler.get_jobs({"class": "noop"})] == ["next"]


def test_the_name_of_the_failed_job_is_kept(scheduler: Scheduler, inline: InlineNode) -> None:
    job = scheduler.add_job("pays", {"in": "raise", "always": True})
    inline.run_due()
    with pytest.raises(JobFailedError):
        job.result(timeout=5)


@pytest.mark.parametrize("mark", [7, "x", {}, {"session": 7}, {"session": {"a": 1}}, [], None])
def test_an_odd_mark_is_left_alone(scheduler: Scheduler, mark: Any) -> None:
    job = scheduler.add_job("noop")
    scheduler.store.jobs.collection.update_one({"_id": job.id}, {"$set": {"committing": mark}})
    scheduler.store.commits.break_off([job.id])


def test_an_instance_that_a_container_gives_again_commits_again(scheduler: Scheduler, database: Database_) -> None:
    class One:
        made: Any = None

        def get(self, cls: type[Job]) -> Any:
            self.made = self.made or cls()
            return self.made

    jobs = [scheduler.add_job("pays", {}), scheduler.add_job("pays", {"in": "raise"})]
    with InlineNode(scheduler, container=One()) as node:
        node.run_due()
    assert [job.refresh().status for job in jobs] == [Status.DONE, Status.FAILED]
    assert effects(database) == [(jobs[0].id, 1)]


class StepsInside(Job):
    """Keeps a step where it cannot."""

    name = "steps_inside"

    def start(self) -> None:
        assert self.step("before", lambda: 1) == 1
        with self.commit():
            steps: list[Callable[[], Any]]
            steps = [lambda: self.step("a", int), lambda: self.sleep(1), lambda: self.wait_for("s")]
            for call in steps:
                with pytest.raises(InvalidStateError, match="leave its block first"):
                    call()


def test_steps_are_refused_in_the_block(scheduler: Scheduler, inline: InlineNode) -> None:
    job = scheduler.add_job(StepsInside)
    inline.run_due()
    assert (job.refresh().status, job.error) == (Status.DONE, None)
