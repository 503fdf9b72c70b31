"""Whatever stands in a stored document, commands, pages and methods answer, and show all the others."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure, WriteError
from tests.support.odd_documents import IDS, JOBS, NODE, changed, stored
from tests.support.tables import rarely
from tests.support.web import visit

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main

Documents = Database[dict[str, Any]]

SEED = int(os.environ.get("TASKSCHEDULER_FUZZ_SEED", "7"))


def insert(database: Documents, collection: str, raw: bytes) -> bool:
    """Stores a document as it is; False if MongoDB refuses it."""
    try:
        database[collection].insert_one(RawBSONDocument(raw))
    except (WriteError, OperationFailure):
        return False
    return True


def some(sound: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """A part of all the changes of one document, another one with each seed."""
    documents = [document for _, document in changed(sound)]
    yield from random.Random(SEED).sample(documents, min(count, len(documents)))


def insert_jobs(database: Documents, count: int, *kinds: str) -> list[ObjectId]:
    """Stores so many odd jobs of each kind; returns their ids."""
    ids: list[ObjectId] = []
    for kind in kinds or JOBS:
        for document in some(JOBS[kind], count):
            job_id = ObjectId()
            raw = stored(with_own_keys(document, JOBS[kind], str(job_id)), job_id)
            if insert(database, "taskscheduler.jobs", raw):
                ids.append(job_id)
    return ids


def with_own_keys(document: dict[str, Any], sound: dict[str, Any], own: str) -> dict[str, Any]:
    """The document with keys of its own in place of those of which there is one in a database."""
    keys: dict[str, Any] = {
        name: own for name in ("once", "dedupe", "gate") if name in document and document[name] == sound.get(name)
    }
    service = document.get("service")
    if isinstance(service, dict) and service.get("name") == "mail":
        keys["service"] = {**service, "name": own}
    return {**document, **keys}


@pytest.fixture
def run(uri: str, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command, which must succeed; returns what it printed."""

    def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        code = main(["--uri", uri, *arguments])
        printed = capfd.readouterr()
        assert "unexpected" not in printed.err, (arguments, printed.err)
        assert code in codes, (arguments, code, printed.err)
        return printed.out

    return run


READS: list[tuple[str, ...]] = [
    ("counts",), ("counts", "--by", "queue"), ("counts", "-o", "json"), ("status",), ("status", "-o", "json"),
    ("status", "-o", "tsv"), ("service",), ("service", "-o", "json"), ("service", "-o", "tsv"),
    ("list", "--queue", "default"), ("list", "--job", "noop"), ("list", "--tag", "a"), ("list", "--status", "waiting"),
    ("list", "--status", "postponed"), ("list", "--status", "done", "--queue", "default"),
]  # fmt: skip

PAGES = [
    "/", "/jobs", "/jobs?status=live", "/jobs?status=waiting", "/jobs?status=done", "/jobs?kind=service",
    "/jobs?kind=program", "/jobs?kind=solo", "/jobs?queue=default", "/jobs?job=noop", "/jobs?tag=a", "/tasks",
    "/tasks?order=date", "/tasks?order=profile", "/tasks?status=waiting", "/tasks?status=running",
    "/tasks?profile=default",
]  # fmt: skip


def test_every_read_shows_the_others(scheduler: Scheduler, database: Documents, run: Callable[..., str]) -> None:
    first = scheduler.add_job("noop", at=4e9)
    odd = insert_jobs(database, 60)
    for odd_id in IDS:
        insert(database, "taskscheduler.jobs", stored({**JOBS["waiting"], "dedupe": f"{odd_id!r}"}, odd_id))
    for raw in (stored(document) for document in some(NODE, 150)):
        insert(database, "taskscheduler.nodes", raw)
    last = scheduler.add_job("noop", at=4e9)
    orders, forms = ("date", "queue", "status"), ("table", "tsv", "json", "ndjson", "id")
    for order, form in [*((order, "id") for order in orders), *(("date", form) for form in forms)]:
        listed = run("list", "--all", "--limit", "9999", "--order", order, "-o", form)
        asked = {"_id": {"$in": [first.id, *odd, last.id]}}
        kept = [job["_id"] for job in database["taskscheduler.jobs"].find(asked, {"_id": 1})]  # old ones are deleted
        missing = [str(job_id) for job_id in kept if str(job_id) not in listed]
        assert missing == [], (order, form)
    live = run("list", "--limit", "9999")
    query = {"status": {"$in": [0, 1, 2]}, "_id": {"$in": odd}}
    expected = [str(job["_id"]) for job in database["taskscheduler.jobs"].find(query, {"_id": 1})]
    assert [job_id for job_id in (str(first.id), *expected, str(last.id)) if job_id not in live] == []
    for command in READS:
        run(*command)
    run("doctor", codes=(0, 1))
    run("status", "--node", "web-1", codes=(0, 1))
    assert len(list(scheduler.get_jobs({}))) == database["taskscheduler.jobs"].count_documents({})
    live_ids = {process.id for process in scheduler.get_jobs() if isinstance(process.id, ObjectId)}
    assert {first.id, last.id, *map(ObjectId, expected)} <= live_ids
    scheduler.services()
    scheduler.stats()
    with visit(scheduler) as client:
        refused = {path: client.get(path).text[:200] for path in PAGES if client.get(path).status_code != 200}
    assert refused == {}


@pytest.mark.parametrize("count", [2, *rarely(6)])
def test_every_operation_on_an_odd_job_ends(
    scheduler: Scheduler, database: Documents, run: Callable[..., str], count: int
) -> None:
    scheduler.counts()  # creates the indexes
    odd = insert_jobs(database, count, *(kind for kind in JOBS if "gate" not in JOBS[kind]))  # nobody waits for a lock
    with visit(scheduler) as client:
        for number, job_id in enumerate(odd):
            run("show", str(job_id), *(("-o", ("table", "json", "tsv", "ndjson")[number % 4])))
            for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/delete", f"/task/{job_id}"):
                assert client.get(path).status_code == 200, path
            assert f"/jobs/{job_id}/delete" in client.get(f"/jobs/{job_id}").text
            for command in (("retry",), ("cancel",), ("retry",)):
                run(*command, str(job_id), codes=(0, 1, 5))
            run("delete", "--yes", str(job_id))
    assert database["taskscheduler.jobs"].count_documents({"_id": {"$in": odd}}) == 0
