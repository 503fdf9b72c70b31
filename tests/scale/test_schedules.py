"""Ten thousand schedules, of which a thousand are due in the same second; and what looking for them costs.

The plans of the queries are part of every run; the rest: `.venv/bin/pytest -m scale tests/scale/test_schedules.py`
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from taskscheduler import Scheduler
from taskscheduler.model.options import SCHEDULES
from taskscheduler.operations.schedule_runs import add_due_runs
from tests.scale.explaining import Explainer
from tests.support.eventually import eventually
from tests.support.jobs import Noop
from tests.support.nodes import NodeProcess

ALL, DUE = 10_000, 1_000
MOST = 5.0  #: seconds
SECOND = timedelta(seconds=1)


def store(scheduler: Scheduler, due: datetime, count: int = ALL, due_then: int = DUE) -> None:
    """Stores schedules, as `add` does, but in one write."""
    once_a_day = f"{due.second} {due.minute} {due.hour} * * *"
    scheduler.schedules.add("model", Noop, cron=once_a_day, seconds=True, start=due + timedelta(days=9))
    collection = scheduler.store.schedules.collection
    model = collection.find_one({"_id": "model"})
    assert model is not None
    documents = []
    for number in range(count):
        at = due if number < due_then else due + timedelta(days=1)
        times = {name: value for name, value in model["times"].items() if name != "start"}
        documents.append({**model, "times": times, "_id": f"schedule-{number}", "next_at": at, "due_at": at})
    collection.insert_many(documents)
    scheduler.store.wakeups.schedules_changed()


@pytest.mark.scale
def test_a_thousand_schedules_of_one_second_are_served_in_time(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    for _ in range(2):
        start_node()
    due = scheduler.store.clock.now().replace(microsecond=0) + timedelta(seconds=8)
    store(scheduler, due)
    jobs = scheduler.store.jobs.collection
    eventually(lambda: jobs.count_documents({"schedule": {"$exists": True}}) >= DUE, 60, "all runs")
    late = (scheduler.store.clock.now() - due).total_seconds()
    runs = list(jobs.find({"schedule": {"$exists": True}}, {"schedule": 1}))
    assert len({run["schedule"] for run in runs}) == len(runs) == DUE
    print(f"the last of {DUE} runs was added {late:.2f} s after its time")  # noqa: T201
    assert 0 <= late < MOST


def finds(database: Database[dict[str, Any]]) -> int:
    """How often a schedule was looked for, by the server's count."""
    totals = database.client.admin.command("top")["totals"]
    return int(totals.get(f"{database.name}.taskscheduler.schedules", {}).get("queries", {}).get("count", 0))


def finds_within(database: Database[dict[str, Any]], seconds: float) -> int:
    before = finds(database)
    threading.Event().wait(seconds)
    return finds(database) - before


@pytest.mark.scale
def test_while_nothing_is_due_nobody_looks(
    scheduler: Scheduler, database: Database[dict[str, Any]], start_node: Callable[..., NodeProcess]
) -> None:
    for hours, seconds, most in ((1, 20.0, 2), (0, 20.0, 4)):
        store(scheduler, scheduler.store.clock.now() + timedelta(hours=hours, seconds=50))
        if hours:
            start_node()
            start_node()
        threading.Event().wait(5.0)  # the start of the nodes, or their look at what was added
        assert finds_within(database, seconds) <= most
        scheduler.store.schedules.collection.delete_many({})


@pytest.mark.scale
def test_of_a_schedule_of_every_second_each_node_takes_one_look_a_second(
    scheduler: Scheduler, database: Database[dict[str, Any]], start_node: Callable[..., NodeProcess]
) -> None:
    """The one that adds the run asks for its schedule, for what it has written and for the next time as well."""
    nodes, seconds = [start_node() for _ in range(3)], 20
    scheduler.schedules.add("tick", Noop, every=1, overlap="allow")
    threading.Event().wait(3.0)
    found = finds_within(database, seconds)
    print(f"{found / seconds / len(nodes):.1f} queries for each node and second")  # noqa: T201
    assert found <= seconds * (len(nodes) + 4)


def test_no_look_goes_through_all_schedules(scheduler: Scheduler, uri: str) -> None:
    now, explainer = scheduler.store.clock.now().replace(microsecond=0), Explainer(uri, SCHEDULES)
    store(scheduler, now, count=300, due_then=3)
    client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[explainer])
    with client:
        looking = Scheduler(client.get_default_database()).store
        assert looking.schedules.next_due() is not None
        assert add_due_runs(looking) == 3
        looking.schedules.next_due()
    explainer.close()
    assert (len(runs := list(scheduler.get_jobs({}))), explainer.errors) == (3, []), runs
    assert len(explainer.plans) >= 5, "next, due, decide, what was decided, settle"
    assert not any(plan.scans or plan.sorts or plan.documents > 6 for plan in explainer.plans), explainer.plans
