"""Collections and indexes: made by whoever comes first, as large as told, mended when dropped, used by every query."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from tests.support.at_once import answers_at_once
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import DatabaseError, InvalidOptionError, Job, Scheduler, Status
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.claims import ALL_JOBS, Scope
from taskscheduler.store.control import sequences
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.store.schema import ensure, ensure_indexes, missing_indexes, retention_index
from taskscheduler.testing import InlineNode

Documents = Database[dict[str, Any]]
MANY = 20_000
CAPPED = ("taskscheduler.queue", "taskscheduler.events")

_OPENER = """
import json, sys
from taskscheduler import Scheduler
scheduler = Scheduler(sys.argv[1], options=json.loads(sys.argv[2]))
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
with scheduler:
    scheduler.add_job("noop")
"""


@pytest.fixture
def uri(bare_uri: str) -> str:
    """The URI of a database that does not exist yet."""
    return bare_uri


def state(database: Documents) -> dict[str, Any]:
    """All collections and indexes, comparable."""
    collections = {entry["name"]: entry for entry in database.list_collections()}
    return {
        name: (collections[name].get("options"), collections[name]["info"]["uuid"], database[name].index_information())
        for name in sorted(collections)
    }


def ttl(database: Documents, *statuses: Status) -> int:
    """The seconds for which jobs in these statuses are kept."""
    indexes = database["taskscheduler.jobs"].index_information()
    [seconds] = {int(indexes[retention_index(status)]["expireAfterSeconds"]) for status in statuses}
    return seconds


ORDINARY, DEAD = (Status.DONE, Status.CANCELED), (Status.FAILED, Status.TIMEOUT)


def open_in_8_processes(uri: str, options: dict[str, Any]) -> None:
    assert answers_at_once(_OPENER, [[uri, json.dumps(options)]] * 8) == [""] * 8


def test_everything_is_made_on_first_use_and_nothing_before(uri: str, database: Documents) -> None:
    with Scheduler(uri) as scheduler:
        assert database.list_collection_names() == []
        scheduler.add_job("noop")
        names = set(database.list_collection_names())
        others = {f"taskscheduler.{name}" for name in ("jobs", "nodes", "metrics", "logs")}
        assert names == {*CAPPED, *others}
        assert missing_indexes(database, scheduler.options) == []


def test_the_index_of_sequences_is_made_with_the_first_of_them(uri: str, database: Documents) -> None:
    jobs = database["taskscheduler.jobs"]
    with Scheduler(uri) as scheduler:
        scheduler.add_job("noop")
        assert "sequence" not in jobs.index_information()
        scheduler.add_job("noop", sequence="s")
        assert "sequence" in jobs.index_information()
        assert missing_indexes(database, scheduler.options) == []
        jobs.drop_index("sequence")
        assert missing_indexes(database, scheduler.options) == ["sequence"]
        ensure(scheduler.store.database, scheduler.options)
        assert "sequence" in jobs.index_information()


def test_the_index_of_jobs_that_wait_for_signals_is_made_before_the_first_of_them(
    uri: str, database: Documents
) -> None:
    jobs = database["taskscheduler.jobs"]
    with Scheduler(uri) as scheduler, InlineNode(scheduler) as node:
        process = scheduler.add_job(AwaitsTwice)
        scheduler.add_job(AwaitsTwice, at=timedelta(hours=1))
        assert scheduler.why() == {"NO_NODE": 1, "NOT_DUE": 1}
        assert "awaits" not in jobs.index_information()
        node.run_until_idle()
        assert process.refresh().status is Status.POSTPONED
        assert "awaits" in jobs.index_information()
        assert scheduler.why() == {"WAITING_FOR": 1, "NOT_DUE": 1}
        jobs.drop_index("awaits")
        assert missing_indexes(database, scheduler.options) == [], "only counts need it"
    with Scheduler(uri) as scheduler, InlineNode(scheduler) as node:
        scheduler.signal(process.id, "first")
        node.run_until_idle()
        assert "awaits" in jobs.index_information(), "the next one that waits makes it again"


class AwaitsTwice(Job):
    """Waits for two signals."""

    name = "awaits-twice"

    def start(self) -> None:
        self.wait_for("first")
        self.wait_for("second")


def test_it_is_there_before_the_counters_of_sequences_and_before_a_job_has_a_turn(
    uri: str, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between two of these steps leaves nothing that nobody finds."""
    with Scheduler(uri) as scheduler:
        scheduler.add_job("noop")
        counters = scheduler.store.sequences._counters

        def ensure_or_die(within: Documents, collection: str, wanted: Any) -> None:
            if collection == counters.name:
                assert "sequence" in database["taskscheduler.jobs"].index_information()
                raise KeyboardInterrupt
            ensure_indexes(within, collection, wanted)

        monkeypatch.setattr(sequences, "ensure_indexes", ensure_or_die)
        with pytest.raises(KeyboardInterrupt):
            scheduler.add_job("noop", sequence="s")
        assert counters.name not in database.list_collection_names()
        assert database["taskscheduler.jobs"].count_documents({"turn": {"$exists": True}}) == 0
        monkeypatch.undo()
        scheduler.add_job("noop", sequence="s")
        assert scheduler.store.sequences.head("s") is not None


def test_making_it_again_changes_nothing(uri: str, database: Documents) -> None:
    options: dict[str, Any] = {"job_queue_size": 100_000, "event_queue_size": 50_000, "job_retention": 3600}
    with Scheduler(uri, options=options) as scheduler:
        scheduler.add_job("noop")
        before = state(database)
        for given in (options, {}):
            for _ in range(2):
                ensure(scheduler.store.database, SchedulerOptions.of(given))
        assert state(database) == before


@pytest.mark.parametrize(
    "options", [{"job_queue_size": 8192, "event_queue_size": 16384, "job_retention": 60}, *rarely({})], ids=str
)
def test_8_processes_can_make_it_at_once(uri: str, database: Documents, options: dict[str, Any]) -> None:
    open_in_8_processes(uri, options)
    assert database["taskscheduler.jobs"].count_documents({}) == 8
    assert missing_indexes(database, SchedulerOptions.of(options)) == []
    assert [database[name].options()["capped"] for name in CAPPED] == [True, True]


@pytest.mark.faults  # eight processes more, and those that make it stand for them
def test_8_processes_can_mend_it_at_once(uri: str, database: Documents) -> None:
    """Ordinary collections under the names of the capped ones, no indexes, another retention."""
    with Scheduler(uri) as scheduler:
        scheduler.add_job("noop")
    for name in CAPPED:
        database.drop_collection(name)
        database[name].insert_many([{"x": "y" * 100} for _ in range(100)])
    database["taskscheduler.jobs"].drop_indexes()
    open_in_8_processes(uri, {"job_retention": 60, "job_queue_size": 8192})
    assert [database[name].options()["capped"] for name in CAPPED] == [True, True]
    assert missing_indexes(database, SchedulerOptions()) == []
    assert ttl(database, *ORDINARY) == 60
    assert database["taskscheduler.jobs"].count_documents({}) == 9


def test_sizes_and_names_are_options(uri: str, database: Documents) -> None:
    names = {"job_store": "app.tasks", "job_queue": "app.wake", "event_queue": "app.log"}
    with Scheduler(uri, options=names, job_queue_size=8192, event_queue_size=100_000) as scheduler:
        scheduler.add_job("noop")
    assert {*names.values()} <= set(database.list_collection_names())
    assert not [name for name in database.list_collection_names() if name in ("taskscheduler.jobs", *CAPPED)]
    assert (database["app.wake"].options()["capped"], database["app.wake"].options()["size"]) == (True, 8192)
    assert 100_000 <= database["app.log"].options()["size"] < 100_256
    assert "capped" not in database["app.tasks"].options()


def test_default_sizes_are_those_of_the_contract(scheduler: Scheduler, database: Documents) -> None:
    scheduler.add_job("noop")
    sizes = [database[name].options()["size"] for name in CAPPED]
    assert 1_000_000 <= sizes[0] < 1_000_256
    assert 5_000_000 <= sizes[1] < 5_000_256


def test_a_size_chosen_later_resizes_and_a_default_does_not(uri: str, database: Documents) -> None:
    with Scheduler(uri, job_queue_size=8192) as scheduler:
        scheduler.add_job("noop")
    with Scheduler(uri) as scheduler:
        scheduler.add_job("noop")
    assert database[CAPPED[0]].options()["size"] == 8192
    with Scheduler(uri, job_queue_size=16384) as scheduler:
        scheduler.add_job("noop")
        assert database[CAPPED[0]].options()["size"] == 16384
        scheduler.set_options(event_queue_size=65536)
        scheduler.add_job("noop")
        assert database[CAPPED[1]].options()["size"] == 65536
    assert database["taskscheduler.jobs"].count_documents({}) == 4


@pytest.mark.parametrize(
    "names",
    [
        {"job_queue": "taskscheduler.jobs"},  # the name that the seed has for its queue
        {"job_store": "same", "event_queue": "same"},
        {"job_queue": "same", "event_queue": "same"},
        {"job_store": "taskscheduler.nodes"},
    ],
    ids=str,
)
def test_one_name_for_two_collections_is_refused(uri: str, database: Documents, names: dict[str, str]) -> None:
    with pytest.raises(InvalidOptionError), Scheduler(uri, options=names) as scheduler:
        scheduler.add_job("noop")
    assert not [name for name in database.list_collection_names() if database[name].options().get("capped")]


@pytest.mark.parametrize(
    "option",
    [
        {"job_queue_size": 100},
        {"job_queue_size": "8192"},
        {"event_queue_size": True},
        {"job_store": ""},
        {"job_store": "a$b"},
        {"job_queue": "system.queue"},
        {"event_queue": "a\0b"},
        {"job_retention": -1},
        {"failed_retention": "30d"},
        {"foobar": 1},
        {"max_payload": 0},
        {"progress_rate_limit": -1},
        {"orphaned_timeout": 0},
        {"default_retry": "1"},
    ],
    ids=str,
)
def test_bad_scheduler_options_are_refused_at_once(uri: str, option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(option))):
        Scheduler(uri, options=option)
    with Scheduler(uri) as scheduler:
        before = scheduler.options
        with pytest.raises(InvalidOptionError):
            scheduler.set_options({"default_retry": 3, **option})
        assert scheduler.options == before


@pytest.mark.parametrize(
    ("option", "own", "others"),
    [
        ("job_retention", (ORDINARY, 604_800), (DEAD, 2_592_000)),
        ("failed_retention", (DEAD, 2_592_000), (ORDINARY, 604_800)),
    ],
)
def test_a_retention_can_be_changed_and_changes_no_other(
    uri: str, database: Documents, option: str, own: tuple[Any, int], others: tuple[Any, int]
) -> None:
    for given, seconds in (({}, own[1]), ({option: timedelta(hours=1)}, 3600), ({}, 3600)):
        with Scheduler(uri, options=given) as scheduler:
            scheduler.add_job("noop")
        assert ttl(database, *own[0]) == seconds
        assert ttl(database, *others[0]) == others[1]
    with Scheduler(uri, options={option: 0}) as scheduler:
        scheduler.add_job("noop")
    assert ttl(database, *own[0]) > 50 * 366 * 86_400
    assert ttl(database, *others[0]) == others[1]


def test_only_ended_jobs_expire(scheduler: Scheduler, database: Documents, node: NodeProcess) -> None:
    """The date that the TTL index looks at must not be set in a live job, also not between two attempts."""
    canceled, failed = scheduler.add_job("noop", at=timedelta(hours=1)), scheduler.add_job("fail")
    live = [scheduler.add_job("noop", at=timedelta(hours=1)), scheduler.add_job("fail", retry=1)]
    canceled.cancel()
    eventually(lambda: live[1].refresh().status is Status.POSTPONED)
    scheduler.wait_for([canceled, failed], timeout=10)
    indexes = database["taskscheduler.jobs"].index_information()
    expiring = {name: index for name, index in indexes.items() if "expireAfterSeconds" in index}
    assert [index["key"] for index in expiring.values()] == [[("ended", 1)]] * 4
    kept = [index["partialFilterExpression"] for index in expiring.values()]
    assert sorted(condition["status"] for condition in kept) == [3, 4, 5, 6]
    assert canceled.ended is not None
    assert failed.ended is not None
    assert [process.refresh().ended for process in live] == [None, None]


@pytest.mark.parametrize("how", ["dropped", "ordinary"])
def test_the_capped_collections_are_mended_at_the_next_start(uri: str, database: Documents, how: str) -> None:
    with Scheduler(uri, job_queue_size=8192) as scheduler:
        scheduler.add_job("noop")
    for name in CAPPED:
        database.drop_collection(name)
        if how == "ordinary":
            database[name].insert_one({"written": "by an old process"})
    with Scheduler(uri, job_queue_size=8192) as scheduler:
        scheduler.add_job("noop")
    for name in CAPPED:
        assert database[name].options()["capped"]
    assert database[CAPPED[0]].options()["size"] == 8192
    assert database["taskscheduler.jobs"].count_documents({}) == 2


# -- queries use their indexes ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(server_uri: str) -> Iterator[Scheduler]:
    """20 000 jobs: half of them ended, the others waiting, postponed or held by two nodes; some owe something."""
    name = f"test_{ObjectId()}"
    uri = server_uri.format(name)
    with Scheduler(uri) as scheduler, MongoClient[dict[str, Any]](uri) as client:
        template = scheduler.add_job("noop", "some data").refresh().to_dict()
        scheduler.store.on_demand.make(ON_DEMAND)
        now = datetime.now(UTC)
        jobs = client.get_default_database()["taskscheduler.jobs"]
        jobs.insert_many([_nth(number, template, now) for number in range(MANY)])
        yield scheduler
        client.drop_database(name)


BOOTS = [ObjectId(), ObjectId()]


def _nth(number: int, template: dict[str, Any], now: datetime) -> dict[str, Any]:
    status = (3, 0, 4, 1, 3, 2, 5, 0, 6, 3)[number % 10]
    document = {**template, "_id": ObjectId(), "status": status, "class": ("noop", "mail", "sum")[number % 3]}
    document |= {
        "priority": number % 7,
        "queue": ("default", "mail")[number % 2],
        "at": now - timedelta(seconds=number),
    }
    if number % 500 == 0:
        document["tags"] = ["rare", f"tag-{number}"]
    if status == Status.POSTPONED:
        document["at"] = now + timedelta(seconds=number - MANY // 2)
        if number % 7 == 0:
            document |= {"at": FAR, "parked_at": now, "blocked": f"pause:job:{('bulk', 'mail')[number // 10 % 2]}"}
    if status == Status.PROCESSING:
        document |= {"boot": BOOTS[number // 10 % 2], "claim": f"claim-{number // 1000}", "attempt": 1, "started": now}
    if status > Status.PROCESSING:
        document |= {"ended": now}
        if number % 100 == 0:
            document["pending"] = ["family"]
    return document


def queries(scheduler: Scheduler) -> dict[str, Callable[[], Any]]:
    store = scheduler.store
    claims = store.claims
    return {
        "candidates": lambda: claims.candidates(Scope(["default", "mail"]), 500),
        "candidates of one queue": lambda: claims.candidates(Scope(["mail"]), 500),
        "read back": lambda: claims.claimed("claim-7", BOOTS[1]),
        "due": store.postponed_jobs.find,
        "held": lambda: store.leases.held_by(BOOTS[0]),
        "pending": lambda: store.outbox.undelivered(["next", "family", "hook"], 100),
        "live list": lambda: list(scheduler.get_jobs()),
        "live of a class": lambda: list(scheduler.get_jobs({"class": "mail", "status": {"$lte": 2}})),
        "one job": lambda: claims.candidates(Scope(["default"]), 1),
        "forced": lambda: claims.forced(ALL_JOBS, 32),
        "asynchronous": lambda: claims.asynchronous(ALL_JOBS, 32),
        "children": lambda: store.families.children(ObjectId()),
        "series": lambda: store.families.series(ObjectId()),
        "tagged": lambda: list(scheduler.get_jobs({"tags": "rare"})),
        "tagged with any": lambda: list(scheduler.get_jobs({"tags": {"$in": ["tag-500", "tag-1000"]}})),
        "paused": lambda: store.blocked_jobs.first("pause:job:bulk"),
        "paused keys": store.blocked_jobs.paused_keys,
        "the same job, queued": lambda: [store.inserts.same_queued("data:noop:none")],
    }


@pytest.mark.parametrize(
    "name",
    [
        "candidates",
        "candidates of one queue",
        "read back",
        "due",
        "held",
        "pending",
        "live list",
        "live of a class",
        "one job",
        "forced",
        "asynchronous",
        "children",
        "series",
        "tagged",
        "tagged with any",
        "paused",
        "paused keys",
        "the same job, queued",
    ],
)
def test_a_query_examines_little_more_than_it_returns(crowded: Scheduler, name: str) -> None:
    database = crowded.store.database
    database.command("profile", 2)
    try:
        found = list(queries(crowded)[name]())
    finally:
        database.command("profile", 0)
    seen = list(database["system.profile"].find({"ns": f"{database.name}.taskscheduler.jobs"}))
    database.drop_collection("system.profile")
    assert seen
    assert all("IXSCAN" in entry["planSummary"] for entry in seen), [entry["planSummary"] for entry in seen]
    examined = sum(entry["docsExamined"] for entry in seen)
    assert examined <= 2 * max(1, len(found)), (examined, len(found))
    assert not any(entry.get("hasSortStage") for entry in seen)
    if name not in ("forced", "asynchronous", "children", "series"):
        assert found


def test_the_next_due_time_is_one_look(crowded: Scheduler) -> None:
    database = crowded.store.database
    database.command("profile", 2)
    try:
        left = crowded.store.postponed_jobs.seconds_until_next()
        owners = crowded.store.leases.owners()
    finally:
        database.command("profile", 0)
    seen = list(database["system.profile"].find({"ns": f"{database.name}.taskscheduler.jobs"}))
    database.drop_collection("system.profile")
    assert left is not None
    assert left < 0
    assert owners == set(BOOTS)
    assert [entry["docsExamined"] for entry in seen if "IXSCAN { at" in entry["planSummary"]] == [1]
    assert all("IXSCAN" in entry["planSummary"] for entry in seen)


def test_adding_once_looks_at_few_documents(crowded: Scheduler) -> None:
    crowded.add_job_once("once", {"a": 1})
    database = crowded.store.database
    database.command("profile", 2)
    try:
        assert crowded.add_job_once("once", {"a": 1}).outcome == "existing"
        assert crowded.add_job_once("once", {"a": 2}).outcome == "created"
    finally:
        database.command("profile", 0)
    seen = list(database["system.profile"].find({"ns": f"{database.name}.taskscheduler.jobs", "op": "query"}))
    database.drop_collection("system.profile")
    scans = [entry["command"] for entry in seen if "COLLSCAN" in entry.get("planSummary", "")]
    assert scans == []
    assert sum(entry["docsExamined"] for entry in seen) <= 10


def test_a_collection_that_forgets_jobs_is_refused(scheduler: Scheduler, database: Documents) -> None:
    """As php-task-scheduler v3 made one of that name; nothing else is made then."""
    database.create_collection("taskscheduler.jobs", capped=True, size=1_000_000)
    with pytest.raises(DatabaseError, match="give taskscheduler a database of its own"):
        scheduler.add_job("noop")
    assert database.list_collection_names() == ["taskscheduler.jobs"]
