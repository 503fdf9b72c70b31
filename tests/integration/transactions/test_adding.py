"""Jobs that are added in a transaction of the application: they exist exactly if it commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import tests.support.jobs  # noqa: F401
from bson import ObjectId
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from taskscheduler import (
    DuplicateJobError,
    InvalidOptionError,
    JobNotFoundError,
    Process,
    Scheduler,
    Status,
)
from taskscheduler.operations.transactions.in_session import InSession
from taskscheduler.store.transactions.sessions import conflict
from taskscheduler.store.transactions.steps import Steps
from taskscheduler.testing import InlineNode, fresh_scheduler

Database_ = Database[dict[str, Any]]


@contextmanager
def aborted(session: ClientSession) -> Iterator[None]:
    """A transaction that is aborted at the end of the block."""
    session.start_transaction()
    yield
    session.abort_transaction()


@pytest.fixture
def session(database: Database_, scheduler: Scheduler) -> Iterator[ClientSession]:
    """A session of the application's own client, on a database with a collection of its own."""
    scheduler.schedules.all()  # what is created now is there for every transaction
    database.create_collection("orders")
    with database.client.start_session() as session:
        yield session


def ids(scheduler: Scheduler) -> list[Any]:
    return [job.id for job in scheduler.get_jobs({})]


# -- commit and abort -------------------------------------------------------------------------------------------------


def test_a_job_is_there_when_the_transaction_has_committed_and_not_before(
    scheduler: Scheduler, database: Database_, session: ClientSession
) -> None:
    with session.start_transaction():
        database.orders.insert_one({"_id": 1}, session=session)
        job = scheduler.add_job("noop", {"order": 1}, session=session, retry=2)
        assert job.outcome == "created"
        assert ids(scheduler) == []
    assert ids(scheduler) == [job.id]
    assert database.orders.count_documents({}) == 1
    with InlineNode(scheduler) as node:
        node.run_due()
    assert job.refresh().status is Status.DONE


def test_an_aborted_transaction_leaves_no_job(
    scheduler: Scheduler, database: Database_, session: ClientSession
) -> None:
    with aborted(session):
        database.orders.insert_one({"_id": 1}, session=session)
        job = scheduler.add_job("noop", session=session)
    assert (ids(scheduler), database.orders.count_documents({})) == ([], 0)
    with pytest.raises(JobNotFoundError):
        job.refresh()


def test_all_jobs_of_a_batch_are_there_or_none(scheduler: Scheduler, session: ClientSession) -> None:
    with aborted(session):
        scheduler.add_jobs(["noop"] * 2500, session=session)
    assert ids(scheduler) == []
    with session.start_transaction():
        jobs = scheduler.add_jobs([("noop", number) for number in range(2500)], session=session)
        assert ids(scheduler) == []
    assert sorted(ids(scheduler)) == sorted(job.id for job in jobs)


def test_a_function_that_with_transaction_repeats_adds_its_job_once(scheduler: Scheduler, database: Database_) -> None:
    tries: list[Process] = []

    def order(session: ClientSession) -> None:
        tries.append(scheduler.add_job("noop", session=session))
        if len(tries) < 3:
            raise OperationFailure("again", 112, {"errorLabels": ["TransientTransactionError"]})

    with database.client.start_session() as session:
        session.with_transaction(order)
    assert len(tries) == 3
    assert ids(scheduler) == [tries[-1].id]


def test_submit_adds_in_the_transaction_of_its_options(scheduler: Scheduler, session: ClientSession) -> None:
    with session.start_transaction():
        job = scheduler.with_options(session=session, retry=1).submit("noop", 7)
        assert ids(scheduler) == []
    assert (ids(scheduler), job.refresh().data) == ([job.id], 7)
    with pytest.raises(InvalidOptionError, match="session is for submit"), session.start_transaction():
        scheduler.with_options(session=session).run("noop")


def test_nothing_is_announced_before_the_commit(scheduler: Scheduler, session: ClientSession) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    with session.start_transaction():
        job = scheduler.add_job("noop", session=session)
    assert heard == []
    with InlineNode(scheduler) as node:
        node.run_due()
    job.wait(timeout=10)
    assert heard[-1].endswith("done")


# -- options that look for other jobs ---------------------------------------------------------------------------------

COMPARED: list[dict[str, Any]] = [
    {"dedupe": True},
    {"unique_for": 60},
    {"debounce": 60, "unique_key": "k"},
]


@pytest.mark.parametrize("options", COMPARED, ids=lambda options: next(iter(options)))
def test_an_aborted_transaction_does_not_stand_in_the_way(
    scheduler: Scheduler, session: ClientSession, options: dict[str, Any]
) -> None:
    with aborted(session):
        assert scheduler.add_job("noop", session=session, **options).outcome == "created"
    with session.start_transaction():
        first = scheduler.add_job("noop", session=session, **options)
        again = scheduler.add_job("noop", session=session, **options)
    assert (first.outcome, again.outcome) == ("created", "debounced" if "debounce" in options else "existing")
    outside = scheduler.add_job("noop", **options)
    with session.start_transaction():
        inside = scheduler.add_job("noop", session=session, **options)
    assert {first.id, again.id, outside.id, inside.id} == set(ids(scheduler))
    assert len(ids(scheduler)) == 1


def test_an_aborted_transaction_has_put_nothing_off(scheduler: Scheduler, session: ClientSession) -> None:
    options: dict[str, Any] = {"debounce": 60, "unique_key": "k"}
    job = scheduler.add_job("noop", 1, **options)
    with aborted(session):
        assert scheduler.add_job("noop", 2, session=session, **options).data == 2
    assert (job.refresh().data, len(ids(scheduler))) == (1, 1)


def test_a_window_whose_adder_has_died_is_taken_over(scheduler: Scheduler, session: ClientSession) -> None:
    job_id = ObjectId()
    key = scheduler.add_job("noop", unique_for=60).id
    windows = scheduler.store.database["taskscheduler.windows"]
    scheduler.delete_job(key)
    windows.update_one({}, {"$set": {"job": job_id, "opened": scheduler.store.clock.now()}})
    with session.start_transaction():
        job = scheduler.add_job("noop", session=session, unique_for=60)
    assert (job.id, job.outcome) == (job_id, "created")
    assert "opened" not in (windows.find_one({}) or {})
    assert scheduler.add_job("noop", unique_for=60).outcome == "existing"


def test_add_job_once_in_a_transaction(scheduler: Scheduler, session: ClientSession) -> None:
    with aborted(session):
        assert scheduler.add_job_once("noop", 1, session=session).outcome == "created"
    first = scheduler.add_job_once("noop", 1)
    assert first.outcome == "created"
    with session.start_transaction():
        same = scheduler.add_job_once("noop", 1, session=session)
    assert (same.id, same.outcome) == (first.id, "existing")
    with aborted(session):
        assert scheduler.add_job_once("noop", 1, session=session, retry=5).outcome == "replaced"
    assert first.refresh().status is Status.WAITING
    with session.start_transaction():
        other = scheduler.add_job_once("noop", 1, session=session, retry=5)
    assert (other.outcome, first.refresh().status) == ("replaced", Status.CANCELED)
    assert scheduler.add_job_once("noop", 1, retry=5).id == other.id


def test_add_job_once_finds_an_equal_job_that_was_added_otherwise(scheduler: Scheduler, session: ClientSession) -> None:
    jobs = [scheduler.add_job("noop", {"n": number}) for number in range(3)]
    with session.start_transaction():
        same = scheduler.add_job_once("noop", {"n": 1}, session=session)
        any_of_them = scheduler.add_job_once("noop", {"n": 2}, session=session, ignore_data=True)
    assert (same.id, same.outcome, any_of_them.outcome) == (jobs[1].id, "existing", "replaced")
    assert [job.refresh().status.label for job in jobs] == ["waiting", "waiting", "canceled"]  # the one of equal data


def test_two_transactions_that_add_the_same_job_add_it_once(scheduler: Scheduler, database: Database_) -> None:
    """The second one meets a conflict, which the driver answers by repeating it; then it finds the first one."""
    scheduler.store.on_demand.make(["dedupe"])  # else the first one could not make it while the other has begun
    tries: list[str] = []
    with database.client.start_session() as one, database.client.start_session() as other:

        def second(session: ClientSession) -> Process:
            job = scheduler.add_job("noop", session=session, dedupe=True) if tries else None
            if job is None:
                tries.append("begun")
                database.list_collection_names()
                database["taskscheduler.jobs"].find_one({}, session=session)  # from here on it sees what is there now
                with one.start_transaction():
                    first.append(scheduler.add_job("noop", session=one, dedupe=True))
                job = scheduler.add_job("noop", session=session, dedupe=True)
            tries.append(str(job.outcome))
            return job

        first: list[Process] = []
        job = other.with_transaction(second)
    assert tries == ["begun", "existing"]
    assert ids(scheduler) == [first[0].id] == [job.id]


def test_the_jobs_of_a_sequence_run_in_their_order(scheduler: Scheduler, session: ClientSession) -> None:
    with aborted(session):
        scheduler.add_job("noop", session=session, sequence="s")
    with session.start_transaction():
        first = scheduler.add_job("noop", session=session, sequence="s")
    second = scheduler.add_job("noop", sequence="s")
    with InlineNode(scheduler) as node:
        assert [job.id for job in node.run_until_idle()] == [first.id, second.id]


# -- ids and parents --------------------------------------------------------------------------------------------------


def test_an_id_that_is_taken_is_refused_and_the_transaction_goes_on(
    scheduler: Scheduler, session: ClientSession
) -> None:
    taken = scheduler.add_job("noop").id
    with session.start_transaction():
        with pytest.raises(DuplicateJobError):
            scheduler.add_job("noop", session=session, id=taken)
        with pytest.raises(DuplicateJobError):
            scheduler.add_jobs([("noop", None, {"id": taken}), "noop"], session=session)
        other = scheduler.add_job("noop", session=session)
    assert sorted(ids(scheduler)) == sorted([taken, other.id])


def test_a_parent_may_be_added_in_the_same_transaction(scheduler: Scheduler, session: ClientSession) -> None:
    scheduler.store.on_demand.make(["parent"])  # else the transaction would have to begin again
    with session.start_transaction():
        parent = scheduler.add_job("noop", session=session, at=timedelta(hours=1))
        child = scheduler.add_job("noop", session=session, parent=parent.id)
        with pytest.raises(JobNotFoundError):
            scheduler.add_job("noop", session=session, parent=ObjectId())
    assert sorted(ids(scheduler)) == sorted([parent.id, child.id])


def test_a_child_of_a_job_that_has_failed_is_cancelled(scheduler: Scheduler, session: ClientSession) -> None:
    parent = scheduler.add_job("fail")
    with InlineNode(scheduler) as node:
        node.run_due()
    with session.start_transaction():
        child = scheduler.add_job("noop", session=session, parent=parent.id)
    assert child.status is child.refresh().status is Status.CANCELED


# -- schedules --------------------------------------------------------------------------------------------------------


def test_a_schedule_is_there_exactly_if_the_transaction_commits(scheduler: Scheduler, session: ClientSession) -> None:
    with aborted(session):
        assert scheduler.schedules.add("s", "noop", every=60, session=session).name == "s"
    assert scheduler.schedules.all() == []
    with session.start_transaction():
        scheduler.schedules.add("s", "noop", every=60, session=session)
    with aborted(session):
        assert scheduler.schedules.add("s", "noop", every=90, session=session).every == 90
    assert scheduler.schedules.get("s").every == 60
    with session.start_transaction():
        scheduler.schedules.add("s", "noop", every=90, session=session)
        run = scheduler.schedules.run("s", session=session)
        assert ids(scheduler) == []
    assert (scheduler.schedules.get("s").every, ids(scheduler)) == (90, [run.id])


def test_runs_of_the_past_are_added_exactly_if_the_transaction_commits(
    scheduler: Scheduler, session: ClientSession
) -> None:
    scheduler.schedules.add("s", "noop", every=60)
    now = scheduler.store.clock.now()
    period = (now - timedelta(minutes=3), now)
    with aborted(session):
        assert len(scheduler.schedules.backfill("s", *period, session=session)) == 3
    assert ids(scheduler) == []
    with session.start_transaction():
        runs = scheduler.schedules.backfill("s", *period, session=session)
    with session.start_transaction():
        assert scheduler.schedules.backfill("s", *period, session=session) == []
    assert sorted(ids(scheduler)) == sorted(run.id for run in runs)


# -- sessions that cannot be used -------------------------------------------------------------------------------------


def test_a_session_without_a_transaction_is_refused(scheduler: Scheduler, session: ClientSession) -> None:
    for add in (scheduler.add_job, scheduler.add_job_once):
        with pytest.raises(InvalidOptionError, match=r"option session has no transaction: begin one"):
            add("noop", session=session)
    with pytest.raises(InvalidOptionError, match="option session has no transaction"):
        scheduler.add_jobs(["noop"], session=session)
    with pytest.raises(InvalidOptionError, match="option session has no transaction"):
        scheduler.schedules.add("s", "noop", every=60, session=session)
    with session.start_transaction():
        scheduler.add_job("noop", session=session)
    with pytest.raises(InvalidOptionError, match="option session has no transaction"):
        scheduler.add_job("noop", session=session)  # it has committed
    session.end_session()
    with pytest.raises(InvalidOptionError, match="option session has ended"):
        scheduler.add_job("noop", session=session)
    assert len(ids(scheduler)) == 1


@pytest.mark.parametrize("value", ["x", 0, {}], ids=repr)
def test_anything_else_is_refused(scheduler: Scheduler, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match="option session must be a session of MongoClient"):
        scheduler.add_job("noop", session=value)


def test_a_session_of_another_deployment_is_refused(scheduler: Scheduler, tmp_path: Any) -> None:
    from tests.faults.steps.server import Server  # noqa: PLC0415 - only this test needs it

    server = Server(tmp_path)
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(server.uri("other"))
        refused = pytest.raises(InvalidOptionError, match="session belongs to another MongoDB deployment")
        with client, client.start_session() as session, session.start_transaction(), refused:
            scheduler.add_job("noop", session=session)
    finally:
        server.stop()
    assert ids(scheduler) == []


def test_the_deployment_of_a_client_is_asked_for_once(
    scheduler: Scheduler, session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session.start_transaction():
        scheduler.add_job("noop", session=session)
    monkeypatch.setattr("taskscheduler.store.transactions.sessions.ClientCommand", None)
    with session.start_transaction():
        scheduler.add_job("noop", session=session)
    with scheduler.store.database.client.start_session() as own, own.start_transaction():
        scheduler.add_job("noop", session=own)
    assert len(ids(scheduler)) == 3


def test_wrong_options_are_refused_before_the_transaction_is_used(session: ClientSession) -> None:
    with fresh_scheduler() as scheduler, session.start_transaction():
        with pytest.raises(InvalidOptionError, match="retry"):
            scheduler.add_job("noop", session=session, retry=-7)
        assert session.in_transaction


# -- a transaction of the scheduler's own -----------------------------------------------------------------------------


def test_an_operation_has_a_transaction_of_its_own(scheduler: Scheduler) -> None:
    """For operations of several documents, which are all there or none."""
    new = [scheduler.core.adder.new("noop", number, {}) for number in range(3)]
    tries: list[int] = []

    def prepare(work: InSession) -> Steps[None]:
        yield from work.jobs.insert(new)
        tries.append(1)
        if len(tries) == 1:
            raise conflict("by the test")
        if len(tries) > 2:
            raise LookupError("by the test")

    scheduler.core.in_session.on_its_own(prepare)
    assert (len(tries), sorted(ids(scheduler))) == (2, sorted(job.id for job in new))
    new = [scheduler.core.adder.new("noop", number, {}) for number in range(3)]
    with pytest.raises(LookupError):
        scheduler.core.in_session.on_its_own(prepare)
    assert len(ids(scheduler)) == 3
