"""Indexes that are made with the first job that needs them: others cost no write anything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import tests.support.asyncjobs
import tests.support.jobs  # noqa: F401
from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from tests.support.at_once import answers_at_once

from taskscheduler import Scheduler, Service, Status, job
from taskscheduler.store import Store
from taskscheduler.store.claims import ALL_JOBS
from taskscheduler.store.driver_errors import is_missing_index
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.schema import missing_indexes
from taskscheduler.store.web.job_pages import Count, JobPages, Page
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.node.maintenance.schema_keeper import SchemaKeeper
from taskscheduler_daemon.node.state.lease import Lease

Documents = Database[dict[str, Any]]

JOBS = "taskscheduler.jobs"


@job(name="on-demand-async")
async def waits() -> None:
    """Runs on an event loop."""


class Serves(Service):
    """Does nothing."""

    name = "on-demand-service"

    def start(self) -> None:
        pass


def on_demand(database: Documents) -> set[str]:
    """Those that are there."""
    return ON_DEMAND.keys() & database[JOBS].index_information().keys()


def tracks(scheduler: Scheduler) -> None:
    with scheduler.track("import"):
        pass


def runs_by_schedule(scheduler: Scheduler) -> None:
    scheduler.schedules.add("nightly", "noop", every=3600)


def gets_tags(scheduler: Scheduler) -> None:
    scheduler.update_job(scheduler.add_job("noop").id, tags=["a"])


def is_retried_with_a_limit(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    scheduler.cancel_job(process.id)
    scheduler.retry_job(process.id, retry_for=60)


def are_retried_with_a_limit(scheduler: Scheduler) -> None:
    scheduler.cancel_job(scheduler.add_job("noop").id)
    assert scheduler.select("status:canceled").retry(retry_for=60).count == 1


def starts_again_with_tags(scheduler: Scheduler) -> None:
    scheduler.start_service(Serves)
    scheduler.stop_service(Serves.name)
    assert scheduler.start_service(Serves, tags=["a"]).tags == ["a"]


USES: dict[str, tuple[set[str], Callable[[Scheduler], Any]]] = {
    "force_spawn": ({"force"}, lambda scheduler: scheduler.add_job("noop", force_spawn=True)),
    "async": ({"async"}, lambda scheduler: scheduler.add_job(waits)),
    "start_by": ({"expires"}, lambda scheduler: scheduler.add_job("noop", start_by=60)),
    "once": ({"once"}, lambda scheduler: scheduler.add_job_once("noop")),
    "dedupe": ({"dedupe"}, lambda scheduler: scheduler.add_job("noop", dedupe=True)),
    "debounce": ({"dedupe"}, lambda scheduler: scheduler.add_job("noop", debounce=60)),
    "tags": ({"tags"}, lambda scheduler: scheduler.add_jobs([("noop", None, {"tags": ["a"]})])),
    "tracked": ({"tracked"}, tracks),
    "parent": ({"parent"}, lambda scheduler: scheduler.add_job("noop", parent=scheduler.add_job("noop").id)),
    "interval": ({"series"}, lambda scheduler: scheduler.add_job("noop", interval=60)),
    "schedule": ({"schedule"}, runs_by_schedule),
    "service": ({"service", "force"}, lambda scheduler: scheduler.start_service(Serves)),
    "new tags": ({"tags"}, gets_tags),
    "new tags of a service": ({"service", "force", "tags"}, starts_again_with_tags),
    "a retry": ({"expires"}, is_retried_with_a_limit),
    "retries": ({"expires"}, are_retried_with_a_limit),
}


@pytest.mark.parametrize("use", USES)
def test_each_is_made_with_the_first_job_that_needs_it(scheduler: Scheduler, database: Documents, use: str) -> None:
    names, act = USES[use]
    scheduler.add_job("noop")
    assert on_demand(database) == set()
    act(scheduler)
    assert on_demand(database) == names
    assert scheduler.store.on_demand.known >= names
    assert missing_indexes(database, scheduler.options) == []


def test_a_process_that_connects_later_knows_what_is_there(scheduler: Scheduler, uri: str) -> None:
    scheduler.add_job("noop", tags=["a"], force_spawn=True)
    with Scheduler(uri) as other:
        assert other.store.on_demand.known == {"tags", "force"}


def keeper(scheduler: Scheduler) -> SchemaKeeper:
    """What a node mends the schema with, at its next run."""
    found = SchemaKeeper(scheduler.store, Lease(30, scheduler.store.clock))
    found.repair()
    return found


def test_a_node_learns_what_others_make_and_makes_it_again(scheduler: Scheduler, uri: str, database: Documents) -> None:
    parent = scheduler.add_job("noop").id
    child = scheduler.add_job("noop", parent=parent)
    with Scheduler(uri) as other:
        node = other.store
        assert node.on_demand.known == {"parent"}
        scheduler.add_job("noop", tags=["a"])
        assert node.on_demand.known == {"parent"}
        keeper(other).run()
        assert node.on_demand.known == {"parent", "tags"}
        for name in ("parent", "tags"):
            database[JOBS].drop_index(name)
        with pytest.raises(OperationFailure) as caught:
            node.families.children(parent)
        assert is_missing_index(caught.value)
        keeper(other).run()
        assert on_demand(database) == {"parent", "tags"}
        assert node.families.children(parent) == [child.id]


def test_jobs_without_any_index_may_need_each_of_them(scheduler: Scheduler, uri: str, database: Documents) -> None:
    """Somebody has restored the data alone: nobody can tell what these jobs need."""
    scheduler.add_job("noop", tags=["a"])
    database[JOBS].drop_indexes()
    assert set(ON_DEMAND) < set(missing_indexes(database, scheduler.options))
    with Scheduler(uri) as other:
        assert other.store.on_demand.known == set(ON_DEMAND)
    assert on_demand(database) == set(ON_DEMAND)


def test_a_database_without_jobs_gets_none_of_them(scheduler: Scheduler, uri: str, database: Documents) -> None:
    assert scheduler.counts() == {}
    database[JOBS].drop_indexes()
    with Scheduler(uri) as other:
        assert other.store.on_demand.known == set()
    assert on_demand(database) == set()


def test_a_command_makes_all_of_them_beforehand(
    scheduler: Scheduler,
    uri: str,
    database: Documents,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    scheduler.add_job("noop", tags=["a"])

    def migrate(*options: str) -> dict[str, Any]:
        main(["migrate", "-o", "json", *options])
        steps: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return next(step for step in steps if step["name"] == "indexes")

    assert migrate()["state"] == "not needed"
    assert set(migrate("--all-indexes", "--dry-run")["found"].split(", ")) == set(ON_DEMAND) - {"tags"}
    assert on_demand(database) == {"tags"}
    assert migrate("--all-indexes")["changed"] == len(ON_DEMAND) - 1
    assert on_demand(database) == set(ON_DEMAND)
    assert migrate("--all-indexes")["state"] == "not needed"
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert scheduler.counts()["noop"][Status.DONE] == 1


# -- several processes ------------------------------------------------------------------------------------------------

_ADDER = """
import json, sys
from taskscheduler import Scheduler
scheduler = Scheduler(sys.argv[1])
with scheduler:
    scheduler.counts()
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    if sys.argv[2] == "once":
        process = scheduler.add_job_once("noop", 1)
    else:
        process = scheduler.add_job("noop", 1, dedupe=True)
    sys.stdout.write(str(process.id))
"""


@pytest.mark.parametrize("key", ["once", "dedupe"])
def test_8_processes_add_the_first_job_with_a_key_once(bare_uri: str, key: str) -> None:
    added = answers_at_once(_ADDER, [[bare_uri, key]] * 8)
    assert len(set(added)) == 1
    with Scheduler(bare_uri) as scheduler:
        assert [str(one.id) for one in scheduler.get_jobs()] == added[:1]


# -- transactions -----------------------------------------------------------------------------------------------------

FIRST: dict[str, Callable[[Scheduler, ClientSession], Any]] = {
    "tags": lambda scheduler, session: scheduler.add_job("noop", tags=["a"], session=session),
    "once": lambda scheduler, session: scheduler.add_job_once("noop", session=session),
    "sequence": lambda scheduler, session: scheduler.add_job("noop", sequence="s", session=session),
    "schedule": lambda scheduler, session: scheduler.schedules.add("nightly", "noop", every=60, session=session),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_transaction_that_has_written_jobs_begins_again(scheduler: Scheduler, database: Documents, name: str) -> None:
    """The server builds no index on jobs until it is over, and would end it after a minute."""
    tries, began = [], time.monotonic()

    def add(session: ClientSession) -> None:
        tries.append(1)
        scheduler.add_job("mail", session=session)
        FIRST[name](scheduler, session)

    with database.client.start_session() as session:
        session.with_transaction(add)
    assert len(tries) >= 2
    assert time.monotonic() - began < 30
    assert on_demand(database) == {name}
    assert database[JOBS].count_documents({}) == (1 if name == "schedule" else 2)


def test_the_error_says_that_the_transaction_has_to_begin_again(scheduler: Scheduler, database: Documents) -> None:
    with database.client.start_session() as session:
        session.start_transaction()
        scheduler.add_job("noop", session=session)
        with pytest.raises(PyMongoError, match="not built before the transaction has ended") as caught:
            scheduler.add_job("noop", tags=["a"], session=session)
        assert caught.value.has_error_label("TransientTransactionError")
        session.abort_transaction()
    assert database[JOBS].count_documents({}) == 0


# -- readers, while none of them is there -----------------------------------------------------------------------------

PLAIN = 500


@pytest.fixture(scope="module")
def plain(server_uri: str) -> Iterator[Scheduler]:
    """Jobs that need none of these indexes: half of them done, others waiting or running."""
    name = f"test_{ObjectId()}"
    with Scheduler(server_uri.format(name)) as scheduler:
        jobs = scheduler.store.jobs.collection
        template = scheduler.add_job("noop").refresh().to_dict()
        boot, now = ObjectId(), datetime.now(UTC)
        states: list[dict[str, Any]] = [
            {"status": int(Status.DONE), "ended": now},
            {"status": int(Status.WAITING)},
            {"status": int(Status.PROCESSING), "boot": boot, "claim": "c", "started": now, "node": "n"},
        ]
        jobs.insert_many(
            [{**template, "_id": ObjectId(), **states[number % 4 % 3]} for number in range(PLAIN)], ordered=False
        )
        yield scheduler
        scheduler.store.drop()


FIELDS: dict[str, Any] = {"tags": "a", "parent": ObjectId(), "series": ObjectId(), "schedule": "s", "once": "k"}

SERVICES: dict[str, Any] = {"service.name": {"$exists": True}}

PROGRAMS: dict[str, Any] = {"program": {"$exists": True}, "status": {"$in": [int(Status.PROCESSING)]}}

SOME = ObjectId()

#: what reads, and what it finds
READERS: dict[str, tuple[Callable[[Store], Any], Any]] = {
    "forced": (lambda store: store.claims.forced(ALL_JOBS, 9), []),
    "asynchronous": (lambda store: store.claims.asynchronous(ALL_JOBS, 9), []),
    "late": (lambda store: store.late_jobs.find(), []),
    "next late": (lambda store: store.late_jobs.seconds_until_next(), None),
    "children": (lambda store: store.families.children(SOME), []),
    "with live children": (lambda store: store.families.with_live_children([SOME]), set()),
    "sign of a child": (lambda store: store.families.since_sign_of_child(SOME), None),
    "series": (lambda store: store.families.series(SOME), []),
    "goes on": (lambda store: store.families.goes_on(SOME), False),
    "end of a series": (lambda store: store.families.end_series(SOME), []),
    "services": (lambda store: store.services.all(), []),
    "service": (lambda store: store.services.get("s"), None),
    "services not gone": (lambda store: store.services.not_gone(SOME), []),
    "unstarted services": (lambda store: store.services.release_unstarted("c", SOME), None),
    "silent programs": (lambda store: store.programs.end_silent({}), []),
    "runs": (lambda store: lists(store).runs(["s", 7], 9), [[], []]),
    "listed services": (lambda store: lists(store).recent(SERVICES, 9), []),
    "listed programs": (lambda store: lists(store).recent(PROGRAMS, 9), []),
    "page of services": (lambda store: pages(store).page(SERVICES, None, 9), Page([], None)),
    "running": (lambda store: store.jobs.running({"tags": "a"}), []),
    "deleted": (lambda store: store.jobs.delete({"tags": "a"}), 0),
}

#: what reads by any query, and what it finds
BY_QUERY: dict[str, tuple[Callable[[Store, dict[str, Any]], Any], Any]] = {
    "recent": (lambda store, query: lists(store).recent(query, 9), []),
    "newest": (lambda store, query: list(lists(store).newest([query], 9)), []),
    "every": (lambda store, query: list(lists(store).every(query)), []),
    "page": (lambda store, query: pages(store).page(query, None, 9), Page([], None)),
    "count": (lambda store, query: pages(store).count(query), Count(0, True)),
    "get_jobs": (lambda store, query: list(store.jobs.find(query)), []),
    "selected": (lambda store, query: store.search.count(store.search.served(query) or [{}]), 0),
}


def lists(store: Store) -> JobLists:
    return JobLists(store.database, store.options)


def pages(store: Store) -> JobPages:
    return JobPages(store.database, store.options)


def read_by(store: Store, how: str, query: dict[str, Any]) -> str:
    """What is wrong with this way to read jobs of which there are none."""
    database = store.database
    database.command("profile", 2)
    try:
        found = BY_QUERY[how][0](store, query) if query else READERS[how][0](store)
    finally:
        database.command("profile", 0)
    seen = list(database["system.profile"].find({"ns": f"{database.name}.{JOBS}"}))
    database.drop_collection("system.profile")
    examined = sum(entry.get("docsExamined", 0) + entry.get("keysExamined", 0) for entry in seen)
    plans = [entry.get("planSummary") for entry in seen]
    expected = BY_QUERY[how][1] if query else READERS[how][1]
    is_wrong = found != expected or examined > MOST_EXAMINED or "COLLSCAN" in plans
    return f"{how} {query}: {found}, {examined} examined, {plans}" if is_wrong else ""


MOST_EXAMINED = 9


def test_readers_neither_fail_nor_read_all_jobs(plain: Scheduler) -> None:
    store = plain.store
    by_query = [(how, {field: value}) for how in BY_QUERY for field, value in FIELDS.items()]
    wrong = [read_by(store, how, query) for how, query in [*((how, {}) for how in READERS), *by_query]]
    assert [one for one in wrong if one] == []
    assert store.on_demand.known == set()


def test_an_index_that_another_thread_makes_during_a_read_had_nothing(scheduler: Scheduler) -> None:
    on_demand = scheduler.store.on_demand

    def read_while_it_is_made(jobs: Any) -> list[Any]:
        try:
            return list(jobs.find({"service.name": "one"}).hint("service"))
        finally:
            on_demand.learn(["service"])

    assert on_demand.read("service", read_while_it_is_made) == []
    with pytest.raises(OperationFailure):  # somebody has dropped it
        on_demand.read("service", read_while_it_is_made)
