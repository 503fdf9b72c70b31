"""A document is input like any other: whatever stands in one, it costs only itself."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, ObjectId, Regex
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import InvalidDataError, Process, Scheduler, Status
from taskscheduler_daemon.cli import main

Documents = Database[dict[str, Any]]

PAST = datetime(2020, 1, 1, tzinfo=UTC)

NO_UUID = Binary(b"no uuid", 4)

LATIN_1 = RawBSONDocument(bson.encode({"text": "caf#"}).replace(b"#", b"\xe9"))

SEED = int(os.environ.get("TASKSCHEDULER_FUZZ_SEED", "20"))


def damage(database: Documents, process: Process, change: dict[str, Any]) -> None:
    """Changes a stored job as somebody in a shell might; a field that gets None is removed."""
    values = {name: value for name, value in change.items() if value is not None}
    removed = {name: "" for name, value in change.items() if value is None}
    update = {operator: fields for operator, fields in (("$set", values), ("$unset", removed)) if fields}
    assert database["taskscheduler.jobs"].update_one({"_id": process.id}, update).matched_count == 1


def error_of(database: Documents, process: Process) -> dict[str, Any]:
    found = database["taskscheduler.jobs"].find_one({"_id": process.id}, {"status": 1, "error": 1})
    assert found is not None
    assert found["status"] == Status.FAILED, found
    error: dict[str, Any] = found["error"]
    return error


def ends(database: Documents, *processes: Process) -> None:
    """Wait until all have ended."""
    query = {"_id": {"$in": [process.id for process in processes]}, "status": {"$lt": Status.DONE}}
    eventually(lambda: database["taskscheduler.jobs"].count_documents(query) == 0, 60, "all ended")


def unharmed(node: NodeProcess) -> None:
    """The node lives, in its first session, and nothing unexpected has happened in it."""
    log = node.log.read_text()
    assert node.process.poll() is None, log
    assert log.count("node ready") == 1, log
    assert "Traceback" not in log, log


#: the field that the error names, and the change that is made
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "a binary that is no UUID": ("data.x", {"data": {"x": NO_UUID}}),
    "a text in Latin-1": ("data.text", {"data": LATIN_1}),
    "one deep in a list": ("data.x.1.y", {"data": {"x": [1, {"y": NO_UUID}]}}),
    "one in the options": ("options.extra", {"options.extra": NO_UUID}),
    "one in a large document": ("data.x", {"data": {"x": NO_UUID, "y": "y" * 5000}}),
    "one beside a large text": ("class", {"class": NO_UUID, "data": "y" * 5000}),
    "a number as a text": ("options.timeout", {"options.timeout": "600"}),
    "no number": ("options.timeout", {"options.timeout": float("nan")}),
    "a negative number": ("options.timeout", {"options.timeout": -1}),
    "a decimal": ("options.timeout", {"options.timeout": Decimal128("1.5")}),
    "a timeout without an end": ("options.timeout", {"options.timeout": float("inf")}),
    "a long pause": ("options.retry_interval", {"options.retry_interval": 1e300}),
    "retries as a text": ("options.retry", {"options.retry": "3"}),
    "an unknown reference": ("options.interval_reference", {"options.interval_reference": "middle"}),
    "force_spawn as a list": ("options.force_spawn", {"options.force_spawn": []}),
    "no force_spawn": ("options.force_spawn", {"options.force_spawn": None}),
    "no options": ("options", {"options": None}),
    "options as a list": ("options", {"options": [1]}),
    "a back-off that is none": ("options.backoff", {"options.backoff": [1, "5"]}),
    "a time to start that is no date": ("expires", {"expires": "soon"}),
    "silence as a text": ("options.silence_timeout", {"options.silence_timeout": "9"}),
    "a huge attempt": ("attempt", {"attempt": Int64(2**40)}),
    "the largest attempt": ("attempt", {"attempt": Int64(2**63 - 1)}),
    "an attempt as a text": ("attempt", {"attempt": "2"}),
    "an attempt as a list": ("attempt", {"attempt": [2]}),
    "a broken attempt": ("attempt", {"attempt": 1.5}),
    "a negative attempt": ("attempt", {"attempt": -7}),
    "no class": ("class", {"class": None}),
    "a class as a number": ("class", {"class": 7}),
    "lost as a text": ("lost", {"lost": "1"}),
    "retries that were had as a document": ("retries", {"retries": {"a": 1}}),
    "a parent that is no id": ("parent", {"parent": "me"}),
    "a series without a number": ("seq", {"series": ObjectId()}),
    "a series that is no id": ("series", {"series": 5, "seq": 1}),
    "a solo key that is no text": ("solo", {"solo": 5}),
    "a service that is none": ("service", {"service": "mail"}),
    "a service without a policy": ("service.restart", {"service": {"name": "mail"}}),
    "a priority as a text": ("priority", {"priority": "high"}),
    "queues": ("queue", {"queue": ["default"]}),
    "a due time as a list": ("at", {"at": [PAST]}),
    "a due time as a text": ("at", {"at": "now"}),
    "no due time": ("at", {"at": None}),
    "a key": ("at", {"at": MaxKey()}),
}


@pytest.mark.parametrize("wait", [False, True], ids=["backlog", "one by one"])
def test_each_kind_costs_only_itself_and_names_its_field(
    scheduler: Scheduler, database: Documents, start_node: Callable[..., NodeProcess], wait: bool
) -> None:
    node = start_node() if wait else None  # each meets an idle node, alone
    good = scheduler.add_jobs([("noop", number) for number in range(100)])
    bad = {}
    for name, (_, change) in KINDS.items():
        bad[name] = scheduler.add_job("noop", {"x": 1}, at=4e9 if wait else 0)
        damage(database, bad[name], {**change, **({"status": Status.WAITING} if wait else {})})
    good += scheduler.add_jobs([("noop", number) for number in range(100)])
    node = node or start_node()
    ends(database, *good, *bad.values())
    errors = {name: error_of(database, process) for name, process in bad.items()}
    assert {error["type"] for error in errors.values()} == {"InvalidDocumentError"}, errors
    wrong = {
        name: errors[name] for name, (field, _) in KINDS.items() if f"its field {field} " not in errors[name]["message"]
    }
    assert wrong == {}
    done = {"_id": {"$in": [process.id for process in good]}, "status": Status.DONE, "attempt": 1, "lost": 0}
    assert database["taskscheduler.jobs"].count_documents(done) == len(good)
    unharmed(node)


VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**40, Int64(2**63 - 1), -0.5, float("nan"), float("inf"), 1e300, "", "text", "9", [], [[1]],
    ["next"], {}, {"$ref": 1}, {"a": NO_UUID}, NO_UUID, LATIN_1, b"\0", ObjectId(), datetime(1, 1, 1, tzinfo=UTC),
    MaxKey(), bson.DatetimeMS(2**62),
    bson.DatetimeMS(-(2**62)), Decimal128("NaN"), Regex("(("), [ObjectId()], {"_id": 1},
]  # fmt: skip

FIELDS = [
    "class", "queue", "priority", "status", "at", "created", "started", "ended", "alive", "attempt", "retries", "lost",
    "progress", "worker", "data", "options", "options.interval", "options.interval_reference", "options.retry",
    "options.retry_interval", "options.timeout", "options.force_spawn", "options.silence_timeout", "v", "hook",
    "parent", "series", "seq", "once", "once_key", "solo", "gate", "gate_until", "parked_at", "service",
    "service.name", "pending", "next", "attempts", "rearmed", "boot", "claim", "node", "program", "program.pid",
    "program.host", "error", "result", "tags", "async", "wake", "dedupe", "message", "fields", "expires",
    "first_started", "snoozes", "options.backoff", "options.retry_for", "options.start_by",
]  # fmt: skip


def test_no_random_document_stops_a_node(
    scheduler: Scheduler, database: Documents, start_node: Callable[..., NodeProcess]
) -> None:
    """In any status: waiting, postponed, held by a lost node, or ended with effects that are due."""
    chosen = random.Random(SEED)
    node = start_node(orphaned_timeout=2)
    jobs, lost = database["taskscheduler.jobs"], ObjectId()
    good: list[Process] = []
    for _ in range(200):
        bad = scheduler.add_job("noop", at=4e9)
        states: list[dict[str, Any]] = [
            {"status": 0, "at": PAST},
            {"status": 1, "at": PAST},
            {"status": 2, "boot": lost, "claim": "c", "attempt": 1, "started": PAST},
            {"status": 2, "claim": "c", "attempt": 1, "program": {"host": os.uname().nodename, "pid": 2**22 + 1}},
            {"status": 4, "pending": ["next", "family", "hook"]},
        ]
        change = {**chosen.choice(states), **{chosen.choice(FIELDS): chosen.choice(VALUES) for _ in range(2)}}
        whole = {name for name in change if "." not in name}
        change = {name: value for name, value in change.items() if name.partition(".")[0] not in whole - {name}}
        try:
            jobs.update_one({"_id": bad.id}, {"$set": change})
        except Exception:
            continue  # MongoDB does not take it: a key that is taken, a path through a number
        if chosen.random() < 0.3:
            good.append(scheduler.add_job("noop"))
    good += scheduler.add_jobs([("noop", number) for number in range(100)])
    late = scheduler.add_job("noop", at=timedelta(seconds=0.5))
    ends(database, *good, late)
    orphan = {"status": 2, "boot": lost}
    eventually(lambda: jobs.count_documents(orphan) == 0, 60, "nothing held by a lost node")
    last = scheduler.add_jobs([("noop", number) for number in range(20)])
    ends(database, *last)
    done = {"_id": {"$in": [process.id for process in (*good, *last, late)]}, "status": Status.DONE, "attempt": 1}
    assert jobs.count_documents(done) == len(good) + len(last) + 1
    unharmed(node)


@pytest.mark.parametrize("data", [{"x": NO_UUID}, LATIN_1, [NO_UUID], NO_UUID, {"x": {"y": [LATIN_1]}}])
def test_what_could_not_be_read_back_is_refused(scheduler: Scheduler, data: Any) -> None:
    with pytest.raises(InvalidDataError, match="not read back"):
        scheduler.add_job("noop", data)
    assert list(scheduler.get_jobs({})) == []


@pytest.mark.parametrize("part", [4, *rarely(1)])
def test_one_odd_document_hides_no_other_one(
    scheduler: Scheduler, database: Documents, uri: str, capfd: pytest.CaptureFixture[str], part: int
) -> None:
    """Each in the list of its own command, and cancelled, shown and deleted like any other."""
    good = scheduler.add_job("noop", at=4e9)
    odd: list[Process] = []
    for change in (
        *(change for _, change in KINDS.values() if "_id" not in change),
        *({"status": status} for status in (99, -1, "done", None, [1])),
        *({field: value} for field in FIELDS if "." not in field for value in (NO_UUID, "x", [1])),
    ):
        process = scheduler.add_job("noop", at=4e9)
        try:
            damage(database, process, change)
        except DuplicateKeyError:
            continue  # a key of which there is one
        odd.append(process)
    assert main(["--uri", uri, "list", "--all", "--limit", "1000"]) == 0
    listed = capfd.readouterr().out
    assert [str(process.id) for process in (good, *odd) if str(process.id) not in listed] == []
    for command in (["counts"], ["status"]):
        assert main(["--uri", uri, *command]) == 0, command
    assert {process.id for process in scheduler.get_jobs({})} == {good.id, *(process.id for process in odd)}
    failed: list[Any] = []
    for process in odd[::part]:  # two commands each
        shown = main(["--uri", uri, "show", str(process.id)])
        scheduler.cancel_job(process.id)
        deleted = main(["--uri", uri, "delete", "--yes", str(process.id)])
        if (shown, deleted) != (0, 0):
            failed.append((shown, deleted, process.to_dict(), capfd.readouterr().err))
    assert failed == []
    left = {good.id, *(process.id for process in odd)} - {process.id for process in odd[::part]}
    assert {process.id for process in scheduler.get_jobs({})} == left
