"""Nodes hear of a job that was added in a transaction when that commits, and not before."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.client_session import ClientSession
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler, Status
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import ChangeFeed

Database_ = Database[dict[str, Any]]

_TIMES = 15

#: options of a job, each of another way to its slot
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "limit": {"limits": "x"},
    "solo": {"solo": "k"},
    "sequence": {"sequence": "s"},
    "group": {"group": "g"},
    "force_spawn": {"force_spawn": True},
}


def in_a_transaction(database: Database_, work: Callable[[ClientSession], Any]) -> Any:
    with database.client.start_session() as session:
        return session.with_transaction(work)


@pytest.mark.parametrize("way", WAYS)
def test_a_job_starts_soon_after_the_commit(
    scheduler: Scheduler, database: Database_, start_node: Callable[..., NodeProcess], way: str
) -> None:
    """From the answer to the commit to `started`; the node looks by itself only every two seconds."""
    scheduler.limits.set("x", concurrency=5)
    start_node(min_children=2, pm="static")
    scheduler.add_job("noop").wait(timeout=20)
    waits = []
    for _ in range(_TIMES if way == "plain" else 5):
        with database.client.start_session() as session:
            session.start_transaction()
            job = scheduler.add_job("noop", session=session, **WAYS[way])
            session.commit_transaction()
            committed = scheduler.store.clock.now()
        job.wait(timeout=20)
        assert job.started is not None
        waits.append((job.started - committed).total_seconds())
    limit = 0.05 if way != "force_spawn" else 1.0  # which has a worker of its own to be forked first
    assert statistics.median(waits) < limit * (1 + 4 * (os.getloadavg()[0] > (os.cpu_count() or 1)))


def test_no_node_hears_of_it_before_the_commit(scheduler: Scheduler, database: Database_) -> None:
    """Not from the stream that nodes follow, and not from the queue of messages."""
    scheduler.schedules.add("other", "noop", every=60)  # else the transaction would begin before there are any
    store = scheduler.store
    names = store.options.job_store, store.options.job_queue
    with ChangeFeed(store.database, message_pipeline(*names), await_ms=100) as feed:
        eventually(feed.next, 20, "the message of that")
        with database.client.start_session() as session, session.start_transaction():
            plain = scheduler.add_job("noop", session=session)
            held = scheduler.add_job("noop", session=session, limits="x")
            scheduler.schedules.add("s", "noop", every=60, session=session)
            messages = store.database[store.options.job_queue].count_documents({})
            for _ in range(5):
                assert feed.next() is None
        events: list[Any] = []

        def three_came() -> bool:
            if (event := feed.next()) is not None:
                events.append(event)
            return len(events) >= 3

        eventually(three_came, 10, "events")
        woken = [event["fullDocument"] for event in events]
        assert [one.get("_id") for one in woken[:2]] == [plain.id, held.id]
        assert [one.get("schedules") for one in woken] == [None, None, True]
        assert feed.next() is None
    assert store.database[store.options.job_queue].count_documents({}) == messages


def test_many_jobs_of_one_transaction_all_run_at_once(
    scheduler: Scheduler, database: Database_, node: NodeProcess, tmp_path: Path
) -> None:
    began = time.monotonic()
    jobs = in_a_transaction(
        database,
        lambda session: scheduler.add_jobs(
            [("noop", None, {"queue": f"q{number % 3}", "limits": "x" if number % 2 else ()}) for number in range(60)],
            session=session,
        ),
    )
    scheduler.wait_for(jobs, timeout=30)
    assert time.monotonic() - began < 15
    assert {job.status for job in jobs} == {Status.DONE}


def test_jobs_of_later_start_at_their_time(scheduler: Scheduler, database: Database_, node: NodeProcess) -> None:
    job = in_a_transaction(
        database, lambda session: scheduler.add_job("noop", session=session, at=timedelta(seconds=0.3))
    )
    job.wait(timeout=20)
    assert job.started is not None
    assert timedelta() < job.started - job.created < timedelta(seconds=2)


def test_a_schedule_runs_soon_after_the_commit(scheduler: Scheduler, database: Database_, node: NodeProcess) -> None:
    """A node that hears of nothing looks at schedules once a minute."""
    in_a_transaction(database, lambda session: scheduler.schedules.add("s", "noop", every=1, session=session))
    eventually(lambda: scheduler.schedules.get("s").last_at, 10, "a run")
    in_a_transaction(database, lambda session: scheduler.schedules.add("t", "noop", every=3600, session=session))
    in_a_transaction(database, lambda session: scheduler.schedules.add("t", "noop", every=1, session=session))
    eventually(lambda: scheduler.schedules.get("t").last_at, 10, "a run of the one that was changed")


def test_a_child_is_cancelled_whose_parent_fails_before_the_commit(
    scheduler: Scheduler, database: Database_, node: NodeProcess
) -> None:
    parent = scheduler.add_job("fail", at=timedelta(hours=1))
    with database.client.start_session() as session, session.start_transaction():
        child = scheduler.add_job("noop", session=session, parent=parent.id, at=timedelta(hours=1))
        scheduler.update_job(parent.id, at=0)
        parent.wait(timeout=20)
    eventually(lambda: child.refresh().status is Status.CANCELED, 10, "cancelled")
