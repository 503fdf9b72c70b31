"""Why a job does not run: the answer reads few documents and takes no time, however many jobs wait.

The small crowd is part of every run; a million jobs: `.venv/bin/pytest -m scale -s tests/scale/test_why.py`
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bson import ObjectId
from pymongo import MongoClient

from taskscheduler import Scheduler, Status
from taskscheduler.model.control.reasons import MOST_COUNTED
from taskscheduler.model.options import SchedulerOptions
from tests.scale.crowd import copy
from tests.scale.explaining import Explainer, Plan
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

MOST = 0.02  #: seconds
TIMES = 40
SPARE = 20  #: documents that an answer may read, besides the waiting jobs that it counts


class Crowd(NamedTuple):
    """How many jobs wait for a slot, and how many behind a limit."""

    waiting: int
    limited: int


class Site:
    """A database in which all slots and places are taken."""

    def __init__(self, uri: str, directory: Path, crowd: Crowd, stack: ExitStack) -> None:
        self.crowd = crowd
        self.explainer = Explainer(uri, SchedulerOptions.of({}).job_store)
        stack.callback(self.explainer.close)
        self._explained: MongoClient[dict[str, Any]] = stack.enter_context(
            MongoClient(uri, event_listeners=[self.explainer])
        )
        self.scheduler = stack.enter_context(Scheduler(uri))
        node = NodeProcess(uri, directory / "node.log", {"pm": "static", "min_children": 1})
        stack.callback(node.destroy)
        self.scheduler.limits.set("stripe", concurrency=1)
        data = {"trace": str(directory / "trace"), "until": str(directory / "until"), "seconds": 3600}
        holder = self.scheduler.add_job("wait", data, limits="stripe")
        eventually(lambda: holder.refresh().status is Status.PROCESSING, 20, "the slot is taken")
        self.behind = self.scheduler.add_job("noop").id
        copy(self.scheduler, self.behind, crowd.waiting)
        self.limited = self.scheduler.add_job("noop", limits="stripe").id
        copy(self.scheduler, self.limited, crowd.limited)
        self.head = self._head()

    def _head(self) -> ObjectId:
        waiting = {"status": int(Status.WAITING)}
        found = self.scheduler.store.jobs.collection.find_one(waiting, {"_id": 1}, sort=[("at", 1), ("_id", 1)])
        assert found is not None
        return ObjectId(str(found["_id"]))

    def plans(self, ask: Callable[[Scheduler], Any]) -> list[Plan]:
        """The plans of what an answer asks the database."""
        scheduler = Scheduler(self._explained.get_default_database())
        self.explainer.plans.clear()
        ask(scheduler)
        assert not self.explainer.errors, self.explainer.errors
        return list(self.explainer.plans)


CROWDS = [
    pytest.param(Crowd(2_000, 500), id="small"),
    pytest.param(Crowd(900_000, 100_000), id="large", marks=[pytest.mark.scale, pytest.mark.timeout(1200)]),
]


@pytest.fixture(scope="module", params=CROWDS)
def site(server_uri: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    uri = server_uri.format(f"scale_{ObjectId()}")
    with ExitStack() as stack:
        yield Site(uri, tmp_path_factory.mktemp("why"), request.param, stack)


QUESTIONS: dict[str, Callable[[Site], Callable[[Scheduler], Any]]] = {
    "SLOTS": lambda site: lambda scheduler: scheduler.why(site.head),
    "BEHIND": lambda site: lambda scheduler: scheduler.why(site.behind),
    "LIMIT": lambda site: lambda scheduler: scheduler.why(site.limited),
    "summary": lambda site: lambda scheduler: scheduler.why(),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_answer_reads_few_documents(site: Site, name: str) -> None:
    ask = QUESTIONS[name](site)
    answer = ask(site.scheduler)
    assert name == "summary" or answer.code == name, answer
    plans = site.plans(ask)
    documents, keys = (sum(plan.documents for plan in plans), sum(plan.keys for plan in plans))
    print(f"why {name}: {len(plans)} queries, {keys} keys, {documents} documents: {answer}")  # noqa: T201
    assert not any(plan.scans or plan.sorts for plan in plans), plans
    counted = min(site.crowd.waiting + 1, MOST_COUNTED + 1) if name in ("BEHIND", "summary") else 0
    assert documents <= counted + SPARE, plans


def test_a_summary_of_many_queues_reads_no_more(uri: str, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"queue": f"q{number % 8}"}) for number in range(2400)])
    explainer = Explainer(uri, SchedulerOptions.of({}).job_store)
    client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[explainer])
    with client:
        assert Scheduler(client.get_default_database()).why() == {"NO_NODE": MOST_COUNTED + 1}
    explainer.close()
    assert sum(plan.documents for plan in explainer.plans) <= MOST_COUNTED + 1 + SPARE


@pytest.mark.scale
@pytest.mark.parametrize("name", QUESTIONS)
def test_the_answer_is_quick(site: Site, name: str) -> None:
    ask = QUESTIONS[name](site)
    seconds = statistics.median(_seconds(lambda: ask(site.scheduler)) for _ in range(TIMES))
    print(f"why {name}: {seconds * 1000:.1f} ms")  # noqa: T201
    assert seconds < MOST


def _seconds(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
