"""Flows that are added in a transaction of the application: all of their jobs exist exactly if it commits."""

from __future__ import annotations

import asyncio
import inspect
import os
import statistics
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import tests.support.jobs  # noqa: F401
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError
from tests.support.flowing import diamond
from tests.support.nodes import NodeProcess

from taskscheduler import (
    AsyncScheduler,
    DuplicateJobError,
    Flow,
    InvalidFlowError,
    InvalidOptionError,
    InvalidStateError,
    Job,
    JobNotFoundError,
    RunningFlow,
    Scheduler,
)
from taskscheduler.testing import InlineNode

Database_ = Database[dict[str, Any]]


@pytest.fixture
def session(database: Database_, scheduler: Scheduler) -> Iterator[ClientSession]:
    """A session of the application's own client, on a database that has what flows need."""
    scheduler.store.flows.ensure()
    database.create_collection("orders")
    with database.client.start_session() as session:
        yield session


def counts(scheduler: Scheduler) -> tuple[int, int]:
    """How many flows are stored, and how many jobs."""
    return len(scheduler.flows.list()), len(list(scheduler.get_jobs({})))


# -- commit and abort -------------------------------------------------------------------------------------------------


def test_a_flow_is_there_when_the_transaction_has_committed_and_not_before(
    scheduler: Scheduler, session: ClientSession
) -> None:
    with session.start_transaction():
        running = scheduler.flows.add(diamond(), session=session)
        assert (running.status, running.total, running.progress) == ("running", 4, 0)
        assert running.counts == {"waiting": 1, "postponed": 3}
        assert counts(scheduler) == (0, 0)
    assert counts(scheduler) == (1, 4)
    assert running.refresh().counts == {"waiting": 1, "postponed": 3}
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert running.wait(timeout=20, throw=True).status == "done"


def test_an_aborted_transaction_leaves_no_flow_which_can_be_added_later(
    scheduler: Scheduler, session: ClientSession
) -> None:
    flow = diamond()
    session.start_transaction()
    scheduler.flows.add(flow, session=session)
    session.abort_transaction()
    assert counts(scheduler) == (0, 0)
    with session.start_transaction():
        scheduler.flows.add(flow, session=session)
    assert counts(scheduler) == (1, 4)


def test_a_function_that_with_transaction_repeats_adds_its_flow_once(scheduler: Scheduler, database: Database_) -> None:
    """The transaction conflicts with a write of somebody else."""
    tries, flow = list[int](), diamond()
    database.orders.insert_one({"_id": 1, "n": 0})
    scheduler.store.flows.ensure()

    def order(session: ClientSession) -> RunningFlow:
        tries.append(len(tries))
        running = scheduler.flows.add(flow, session=session)
        if len(tries) == 1:
            database.orders.update_one({"_id": 1}, {"$inc": {"n": 1}})
        database.orders.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        return running

    with database.client.start_session() as session:
        running = session.with_transaction(order)
    assert len(tries) == 2
    assert counts(scheduler) == (1, 4)
    assert running.refresh().total == 4


def test_the_same_flow_is_added_once(scheduler: Scheduler, session: ClientSession) -> None:
    flow = diamond()
    with session.start_transaction():
        scheduler.flows.add(flow, session=session)
        again = scheduler.flows.add(flow, session=session)
    with session.start_transaction():
        later = scheduler.flows.add(flow, session=session)
    assert counts(scheduler) == (1, 4)
    assert again.counts == later.counts == {"waiting": 1, "postponed": 3}
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    with session.start_transaction():
        assert scheduler.flows.add(flow, session=session).status == "done"


def test_the_first_flow_of_a_database_is_added(scheduler: Scheduler, database: Database_) -> None:
    """The transaction has written a job before, so the server cannot build the indexes of flows until it is over."""
    database.create_collection("orders")

    def order(session: ClientSession) -> RunningFlow:
        database.orders.insert_one({}, session=session)
        scheduler.add_job("noop", session=session)
        return scheduler.flows.add(diamond(), session=session)

    with database.client.start_session() as session:
        running = session.with_transaction(order)
    assert counts(scheduler) == (1, 5)
    assert {"flow", "open"} <= set(scheduler.store.jobs.collection.index_information())
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert running.refresh().status == "done"


def test_a_transaction_that_has_written_jobs_begins_again_for_the_first_flow(
    scheduler: Scheduler, database: Database_
) -> None:
    with database.client.start_session() as session:
        session.start_transaction()
        scheduler.add_job("noop", session=session)
        with pytest.raises(PyMongoError, match="not built before the transaction has ended") as caught:
            scheduler.flows.add(diamond(), session=session)
        assert caught.value.has_error_label("TransientTransactionError")
        session.abort_transaction()
    assert counts(scheduler) == (0, 0)


# -- what cannot be added ---------------------------------------------------------------------------------------------


def test_what_is_wrong_is_found_before_the_first_write(scheduler: Scheduler, session: ClientSession) -> None:
    taken = scheduler.add_job("noop")
    odd, lonely = Flow("odd"), Flow("lonely")
    scheduler.store.on_demand.make(["parent"])  # else the transaction would have to begin again
    odd.add("noop", id=taken.id)
    lonely.add("noop", parent=ObjectId())
    with session.start_transaction():
        with pytest.raises(DuplicateJobError):
            scheduler.flows.add(odd, session=session)
        with pytest.raises(JobNotFoundError):
            scheduler.flows.add(lonely, session=session)
        with pytest.raises(InvalidFlowError, match="has no jobs"):
            scheduler.flows.add(Flow("empty"), session=session)
        with pytest.raises(InvalidFlowError, match="requires a Flow"):
            scheduler.flows.add("flow", session=session)  # type: ignore[arg-type]
        scheduler.flows.add(diamond(), session=session)
    assert counts(scheduler) == (1, 5)


def test_a_job_of_a_flow_may_have_a_parent_of_the_same_transaction(
    scheduler: Scheduler, session: ClientSession
) -> None:
    flow = Flow("child")
    scheduler.store.on_demand.make(["parent"])  # else the transaction would have to begin again
    with session.start_transaction():
        flow.add("noop", parent=scheduler.add_job("noop", session=session).id)
        scheduler.flows.add(flow, session=session)
    assert counts(scheduler) == (1, 2)


def test_a_session_without_a_transaction_is_refused(scheduler: Scheduler, session: ClientSession) -> None:
    with pytest.raises(InvalidOptionError, match="no transaction"):
        scheduler.flows.add(diamond(), session=session)


def test_a_service_is_not_started_in_a_transaction(scheduler: Scheduler, session: ClientSession) -> None:
    with session.start_transaction(), pytest.raises(InvalidOptionError, match="when the transaction has committed"):
        scheduler.start_service("noop", session=session)
    assert scheduler.services() == []


class GrowsInside(Job):
    """Adds to its flow where it cannot, and then a flow where it can."""

    name = "grows_inside"

    def start(self) -> None:
        with self.commit() as session:
            with pytest.raises(InvalidStateError, match="leave its block first"):
                self.flow.add("noop")
            self.scheduler.flows.add(diamond(), session=session)


def test_a_job_that_commits_adds_a_flow_and_none_to_its_own(scheduler: Scheduler) -> None:
    scheduler.store.flows.ensure()
    flow = Flow("inside")
    flow.add(GrowsInside)
    running = scheduler.flows.add(flow)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert (running.refresh().status, running.total, counts(scheduler)) == ("done", 1, (2, 5))


ADDING = ("add_job", "add_jobs", "add_job_once", "with_options")


def test_every_method_that_adds_takes_a_session(scheduler: Scheduler) -> None:
    for owner in (scheduler, AsyncScheduler("mongodb://127.0.0.1:1/app")):
        methods = [getattr(owner, name) for name in ADDING]
        methods += [owner.flows.add, owner.schedules.add, owner.schedules.run, owner.schedules.backfill]
        assert [method for method in methods if "session" not in inspect.signature(method).parameters] == []


# -- waking, and with asyncio -----------------------------------------------------------------------------------------


def test_its_first_jobs_start_soon_after_the_commit(
    scheduler: Scheduler, database: Database_, start_node: Callable[..., NodeProcess]
) -> None:
    """From the answer to the commit to `started`; the node looks by itself only every two seconds."""
    scheduler.flows.add(diamond())
    start_node(min_children=2, pm="static")
    scheduler.add_job("noop").wait(timeout=20)
    waits = []
    for _ in range(7):
        with database.client.start_session() as session:
            session.start_transaction()
            running = scheduler.flows.add(diamond(), session=session)
            session.commit_transaction()
            committed = scheduler.store.clock.now()
        assert running.wait(timeout=20).status == "done"
        started = running.processes[0].started
        assert started is not None
        waits.append((started - committed).total_seconds())
    assert statistics.median(waits) < 0.05 * (1 + 4 * (os.getloadavg()[0] > (os.cpu_count() or 1)))


def test_many_first_jobs_all_start(scheduler: Scheduler, database: Database_, node: NodeProcess) -> None:
    """One message stands for all of a kind; some are due later."""
    flow = Flow("wide")
    for number in range(40):
        flow.add("noop", at=timedelta(seconds=0.5 * (number % 2)))
    scheduler.store.flows.ensure()
    with database.client.start_session() as session, session.start_transaction():
        running = scheduler.flows.add(flow, session=session)
    assert running.wait(timeout=20).counts == {"done": 40}


def test_the_same_in_an_event_loop(uri: str, scheduler: Scheduler) -> None:
    scheduler.store.flows.ensure()

    async def work() -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
        async with AsyncScheduler(uri) as later, client, client.start_session() as session:
            await session.start_transaction()
            await later.flows.add(diamond(), session=session)
            await session.abort_transaction()
            assert await later.flows.list() == []

            async def order(session: AsyncClientSession) -> Any:
                return await later.flows.add(diamond(), session=session)

            running = await session.with_transaction(order)
            assert (await running.refresh()).counts == {"waiting": 1, "postponed": 3}
            with pytest.raises(InvalidOptionError, match="no transaction"):
                await later.flows.add(diamond(), session=session)
            with pytest.raises(InvalidOptionError, match="when the transaction has committed"):
                await later.start_service("noop", session=session)

    asyncio.run(work())
    assert counts(scheduler) == (1, 4)
