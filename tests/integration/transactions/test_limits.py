"""What the server does to transactions: it aborts those that take too long, and those that conflict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import tests.support.commits  # noqa: F401
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from tests.faults.steps.server import Server
from tests.support.eventually import eventually

from taskscheduler import Job, Scheduler, Status
from taskscheduler.store.attempts import ending
from taskscheduler.store.transactions import commits
from taskscheduler.testing import InlineNode

_LIMIT = 1  #: seconds; the server's own is a minute


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limit = ("--setParameter", f"transactionLifetimeLimitSeconds={_LIMIT}")
    server = Server(tmp_path_factory.mktemp("limited"), *limit)
    yield server
    server.stop()


@pytest.fixture
def limited(server: Server, request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    name = f"test_{abs(hash(request.node.name))}"
    with Scheduler(server.uri(name)) as scheduler:
        scheduler.database.create_collection("effects")
        yield scheduler
        server.client.drop_database(name)


def aborted(server: Server) -> int:
    return int(server.client.admin.command("serverStatus")["transactions"]["totalAborted"])


def test_a_transaction_that_takes_too_long_leaves_no_job(server: Server, limited: Scheduler) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(server.uri("app"))
    with client, client.start_session() as session:
        session.start_transaction()
        limited.add_job("noop", session=session)
        before = aborted(server)
        eventually(lambda: aborted(server) > before, 20, "aborted by the server")
        with pytest.raises(PyMongoError) as raised:
            limited.add_job("noop", session=session)
        assert raised.value.has_error_label("TransientTransactionError")
        session.abort_transaction()
        session.start_transaction()
        limited.add_job("noop", session=session)
        before = aborted(server)
        eventually(lambda: aborted(server) > before, 20, "aborted by the server")
        with pytest.raises(OperationFailure):
            session.commit_transaction()
    assert list(limited.get_jobs({})) == []


def test_a_block_that_takes_too_long_is_tried_again_with_the_job(server: Server, limited: Scheduler) -> None:
    class Slow(Job):
        name = "slow_commit"

        def start(self) -> None:
            with self.commit() as session:
                self.database.effects.insert_one({"job": self.id}, session=session)
                if self.attempt == 1:
                    before = aborted(server)
                    eventually(lambda: aborted(server) > before, 20, "aborted by the server")

    job = limited.add_job(Slow, retry=1, retry_interval=0)
    with InlineNode(limited) as node:
        node.run_due()
        assert (job.refresh().status, limited.database.effects.count_documents({})) == (Status.WAITING, 0)
        assert "committing" not in job.to_dict()
        node.run_due()
    assert (job.refresh().status, limited.database.effects.count_documents({})) == (Status.DONE, 1)


class Overtaken(Job):
    """Another attempt begins while it is in its block."""

    name = "overtaken"

    def start(self) -> None:
        with self.commit() as session:
            self.database.effects.insert_one({"job": self.id}, session=session)
            taken = {"$set": {"claim": "another", "attempt": 2}}
            self.scheduler.store.jobs.collection.update_one({"_id": self.id}, taken)
        raise AssertionError("not reached")


def overtaken(scheduler: Scheduler) -> tuple[Any, int]:
    job = scheduler.add_job(Overtaken)
    with InlineNode(scheduler) as node:
        node.run_due()
    return job.refresh().status, scheduler.database.effects.count_documents({})


def test_an_attempt_that_is_over_commits_nothing(scheduler: Scheduler) -> None:
    scheduler.database.create_collection("effects")
    assert overtaken(scheduler) == (Status.PROCESSING, 0)


def test_without_the_fence_it_would(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the job of another attempt would be DONE."""
    scheduler.database.create_collection("effects")
    write = ending.completion_update

    def unfenced(completion: Any) -> Any:
        update = write(completion)
        update._filter = {"_id": completion.fence.job_id}
        return update

    def overtake(self: Overtaken) -> None:
        taken = {"$set": {"claim": "another", "attempt": 2}}
        with self.commit() as session:
            self.scheduler.store.jobs.collection.update_one({"_id": self.id}, taken)
            self.database.effects.insert_one({"job": self.id}, session=session)

    monkeypatch.setattr(commits, "completion_update", unfenced)
    monkeypatch.setattr(Overtaken, "start", overtake)
    assert overtaken(scheduler) == (Status.DONE, 1)
