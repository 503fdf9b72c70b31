"""Whatever stands in a stored document, a node does the jobs beside it, in its first session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
import tests.support.jobs  # noqa: F401 - registers the jobs of the inline node
from bson import Binary, Code, DatetimeMS, Decimal128, ObjectId
from pymongo.database import Database
from tests.integration.test_bad_documents import ends, error_of, unharmed
from tests.integration.test_odd_documents import insert, insert_jobs, some
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.odd_documents import IDS, JOBS, LATIN, LATIN_1, MESSAGES, NO_UUID, NODE, PAST, stored
from tests.support.tables import rarely

from taskscheduler import AsyncScheduler, InvalidStateError, Process, Scheduler, Status, WaitTimeoutError
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]

SETTLED = 120.0  #: seconds


@pytest.mark.parametrize("count", [40, *rarely(120)])
def test_jobs_nodes_and_messages_of_any_shape_cost_only_themselves(
    scheduler: Scheduler, database: Documents, uri: str, start_node: StartNode, count: int
) -> None:
    jobs = database["taskscheduler.jobs"]
    before = scheduler.add_jobs([("noop", number) for number in range(50)])
    odd = insert_jobs(database, count)
    for odd_id in IDS:
        insert(database, "taskscheduler.jobs", stored({**JOBS["waiting"], "dedupe": f"{odd_id!r}"}, odd_id))
    for other in some(NODE, count * 2 // 3):
        insert(database, "taskscheduler.nodes", stored(other))
    node = start_node(orphaned_timeout=6)
    good = list(before)
    for sound in MESSAGES.values():
        for message in some(sound, count):
            insert(database, "taskscheduler.queue", stored(message))
    for other in some({**NODE, "lease": 1.0}, 40):
        insert(database, "taskscheduler.nodes", stored(other))
    good += scheduler.add_jobs([("noop", number) for number in range(50)])
    good.append(scheduler.add_job("noop", at=timedelta(seconds=0.2)))
    good += [scheduler.add_job("noop", solo="mine") for _ in range(5)]
    for command in (["status"], ["list", "--all"], ["counts"], ["doctor"]):
        assert main(["--uri", uri, *command]) in (0, 1)
    ends(database, *good)
    done = {"_id": {"$in": [job.id for job in good]}, "status": Status.DONE, "attempt": 1, "lost": 0}
    assert jobs.count_documents(done) == len(good)
    eventually(lambda: jobs.count_documents({"status": 0}) == 0, SETTLED, "nothing waits any more")
    held = {"status": 2, "boot": JOBS["running"]["boot"], "_id": {"$in": odd}}
    eventually(lambda: jobs.count_documents(held) == 0, SETTLED, "nothing is held by a lost node")
    never = {"status": 1, "at": {"$not": {"$type": "date"}}}
    eventually(lambda: jobs.count_documents(never) == 0, SETTLED, "nothing is postponed for ever")
    last = scheduler.add_jobs([("noop", number) for number in range(20)])
    ends(database, *last)
    unharmed(node)


@pytest.mark.parametrize("queue", [["m"], NO_UUID, 5, LATIN, LATIN_1, ["m", 7]], ids=repr)
def test_a_queue_that_is_none_hides_no_queue_behind_it(
    scheduler: Scheduler, database: Documents, start_node: StartNode, queue: Any
) -> None:
    """A list is found by its items, among the names of queues."""
    odd = ObjectId()
    waiting = {name: value for name, value in JOBS["waiting"].items() if name != "async"}
    insert(database, "taskscheduler.jobs", stored({**waiting, "queue": queue}, odd))
    good = scheduler.add_job("noop", queue="z")
    node = start_node()
    ends(database, good)
    query = {"_id": odd, "status": Status.FAILED, "error.type": "InvalidDocumentError"}
    eventually(lambda: database["taskscheduler.jobs"].count_documents(query) == 1, 20, "it is set aside")
    unharmed(node)


@pytest.mark.parametrize("beat", ["text", None, [1], {"a": 1}, NO_UUID], ids=repr)
def test_a_node_whose_own_document_was_changed_keeps_its_lease(
    scheduler: Scheduler, database: Documents, start_node: StartNode, beat: Any
) -> None:
    node, nodes = start_node(orphaned_timeout=6), database["taskscheduler.nodes"]
    changed = {"beat": beat, "lease": beat, "queues": beat, "workers": beat, "started": beat, "slots": beat}
    assert nodes.update_one({}, {"$set": changed}).modified_count == 1
    eventually(lambda: nodes.count_documents({"beat": {"$type": "int"}}) == 1, 30, "another heartbeat")
    assert scheduler.add_job("noop", 1).wait(timeout=20).status is Status.DONE
    unharmed(node)


@pytest.mark.parametrize("status", [99, -1, "done", None, [3], True, 2.5], ids=repr)
def test_whoever_waits_for_a_job_without_a_status_waits_until_it_has_one(
    scheduler: Scheduler, database: Documents, status: Any
) -> None:
    jobs, process = database["taskscheduler.jobs"], scheduler.add_job("noop", at=4e9)
    others = [scheduler.add_job("noop", at=4e9) for _ in range(2)]
    future: Future[Any] = process.future()
    jobs.update_one({"_id": process.id}, {"$set": {"status": status}})
    for odd_id in IDS:
        insert(database, "taskscheduler.jobs", stored({**JOBS["done"], "series": ObjectId()}, odd_id))
    with pytest.raises(WaitTimeoutError):
        process.wait(timeout=0.5)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.5)
    assert scheduler.get_job(process.id).status.label == "unreadable"
    for other in others:
        other.cancel()
    assert [other.wait(timeout=30).status for other in others] == [Status.CANCELED] * 2
    jobs.update_one({"_id": process.id}, {"$set": {"status": 3, "result": 7}})
    assert process.wait(timeout=30).result_value == 7
    assert future.result(timeout=30) == 7


async def _waits(uri: str, job_id: ObjectId) -> tuple[str, int]:
    async with AsyncScheduler(uri) as scheduler:
        process = await scheduler.get_job(job_id)
        with pytest.raises(WaitTimeoutError):
            await process.wait(timeout=0.3)
        heard = 0
        async for _ in scheduler.listen(timeout=0.5):
            heard += 1
        return process.status.label, heard


def test_the_asyncio_twin_does_the_same(scheduler: Scheduler, database: Documents, uri: str) -> None:
    process = scheduler.add_job("noop", at=4e9)
    database["taskscheduler.jobs"].update_one({"_id": process.id}, {"$set": {"status": 99}})
    assert asyncio.run(_waits(uri, process.id)) == ("unreadable", 0)


def test_a_listener_hears_of_all_jobs_between_odd_ones(scheduler: Scheduler, database: Documents) -> None:
    heard: list[Process] = []
    last = ObjectId()

    def note(process: Process) -> bool:
        heard.append(process)
        return process.id == last

    for event in ("*", "done", "failed"):
        scheduler.on(event, lambda _name, process: heard.append(process))
    with scheduler.listen_in_background() as listener:
        odd = insert_jobs(database, 30)
        good = [scheduler.add_job("noop", at=4e9).id for _ in range(5)]
        for odd_id in IDS:
            insert(database, "taskscheduler.jobs", stored(JOBS["failed"], odd_id))
        database["taskscheduler.jobs"].update_many({"_id": {"$in": odd}}, {"$set": {"rearmed": Binary(b"x", 4)}})
        database["taskscheduler.jobs"].update_many({"_id": {"$in": odd}}, {"$set": {"status": 99}})
        insert(database, "taskscheduler.jobs", stored(JOBS["done"] | {"series": ObjectId()}, last))
        eventually(lambda: last in [process.id for process in list(heard)], 30, "the last one is heard")
        assert listener.running
    ids = [process.id for process in heard]
    assert [job_id for job_id in (*odd, *good) if job_id not in ids] == []


def test_a_message_to_a_service_that_cannot_be_read_is_passed_over(scheduler: Scheduler, database: Documents) -> None:
    scheduler.start_service("noop", name="mail")
    scheduler.send("mail", "first")
    sent = database["taskscheduler.messages"].find_one({})
    assert sent is not None
    about = {"service": sent["service"], "at": sent["at"], "way": "out"}
    for value in ({"value": NO_UUID}, {"value": LATIN_1}, {"value": {"deep": [NO_UUID]}}, {}):
        insert(database, "taskscheduler.messages", stored({**about, **value}))
    insert(database, "taskscheduler.messages", stored({**about, "value": 7}))
    assert scheduler.receive("mail", timeout=5) == 7
    assert scheduler.receive("mail", timeout=0, default="none") == "none"


@pytest.mark.parametrize(
    "service", [{"name": "mail"}, {"name": "mail", "stop_hard": "x"}, {"name": "mail", "restart": NO_UUID}], ids=repr
)
def test_a_service_whose_document_is_odd_can_be_started_anew(
    scheduler: Scheduler, database: Documents, service: Any
) -> None:
    started = scheduler.start_service("noop", name="mail")
    database["taskscheduler.jobs"].update_one({"_id": started.id}, {"$set": {"service": service}})
    assert scheduler.stop_service("mail").status is Status.CANCELED
    assert scheduler.restart_service("mail").status is Status.WAITING
    again = scheduler.start_service("noop", name="mail")
    assert again.to_dict()["service"]["restart"] == "always"


def test_a_service_without_a_status_says_so(scheduler: Scheduler, database: Documents) -> None:
    started = scheduler.start_service("noop", name="mail")
    database["taskscheduler.jobs"].update_one({"_id": started.id}, {"$set": {"status": 99}})
    expected = f"no readable status.*taskscheduler delete {started.id}"
    with pytest.raises(InvalidStateError, match=expected):
        scheduler.start_service("noop", name="mail")
    with pytest.raises(InvalidStateError, match=expected):
        scheduler.stop_service("mail")


@pytest.mark.parametrize("parent", [{"options": None}, {"options": {"interval": "x"}}, {"attempt": NO_UUID}], ids=repr)
def test_a_child_fails_a_parent_whose_document_is_odd(
    scheduler: Scheduler, database: Documents, start_node: StartNode, parent: dict[str, Any]
) -> None:
    of_all = scheduler.add_job("noop", at=4e9)
    child = scheduler.add_job("fail", parent=of_all.id, at=timedelta(seconds=1))
    database["taskscheduler.jobs"].update_one({"_id": of_all.id}, {"$set": parent})
    node = start_node()
    ends(database, child, of_all)
    assert error_of(database, of_all)["type"] == "ChildJobError"
    unharmed(node)


def test_an_inline_node_sets_odd_jobs_aside_as_well(scheduler: Scheduler, database: Documents) -> None:
    jobs = database["taskscheduler.jobs"]
    changes = [{"options.timeout": "x"}, {"attempt": "2"}, {"at": "now"}, {"data": {"x": NO_UUID}}, {"queue": [1]}]
    odd = [scheduler.add_job("noop", number) for number in range(len(changes))]
    for process, change in zip(odd, changes, strict=True):
        jobs.update_one({"_id": process.id}, {"$set": change})
    good = scheduler.add_job("noop", "good")
    with InlineNode(scheduler, ["default"]) as node:
        node.run_until_idle()
    assert good.refresh().status is Status.DONE
    assert {error_of(database, process)["type"] for process in odd[:-1]} == {"InvalidDocumentError"}


def postponed(**fields: Any) -> bytes:
    return stored({**JOBS["postponed"], "at": PAST, **fields})


ENDLESS, LONG_AGO = DatetimeMS(2**63 - 1), DatetimeMS(-(2**63))

ODD_NAMES: list[Any] = [5, [5], [], [[]], ["a", 5], [5, "a"], {"a": 1}]

RECORD = {name: value for name, value in JOBS["program"].items() if name not in ("solo", "gate")}


def silence(value: Any) -> dict[str, Any]:
    return {"options": {**RECORD["options"], "silence_timeout": value}}


def test_no_date_and_no_number_stops_a_sweep(
    scheduler: Scheduler, database: Documents, uri: str, start_node: StartNode
) -> None:
    """The server refuses sums and indexes that overflow or have two lists; a sweep meets them among others."""
    scheduler.store.on_demand.make(ON_DEMAND)  # else nodes would not look for what is stored without a scheduler
    jobs = database["taskscheduler.jobs"]
    odd = [
        *(postponed(at=at) for at in (LONG_AGO, ENDLESS, [PAST], [ENDLESS], [PAST, "now"], "now", None, [])),
        postponed(at=[PAST], queue=["a", "b"]),
        postponed(at=[PAST], priority=[1, 2], queue=["a"]),
        stored({**JOBS["parked"], "once": "p", "solo": "k", "parked_at": [PAST], "queue": ["a", "b"], "priority": 9}),
        postponed(solo=5),
        postponed(solo=LATIN),
        *(postponed(limits=names) for names in ODD_NAMES),
        *(postponed(sequence=name, turn=turn) for name, turn in ((5, 1), (LATIN, "x"), ([], None), ("s", []))),
        *(stored({**JOBS["parked"], "once": f"{key!r}", "solo": key}) for key in (5, LATIN, ["k"], Code("k"))),
        *(stored({**RECORD, **silence(value)}) for value in (1e300, Decimal128("5"), float("nan"), "5", [5])),
        *(stored({**RECORD, "alive": alive}) for alive in (LONG_AGO, ENDLESS, "now", None)),
        stored({**RECORD, "program": {"$where": 1, **RECORD["program"]}}),
        stored({**JOBS["done"], "next": {**JOBS["done"]["next"], "at": ENDLESS}, "solo": "k"}),
        stored({**JOBS["failed"], "pending": ["family"], "parent": "me"}),
    ]
    assert [insert(database, "taskscheduler.jobs", raw) for raw in odd] == [True] * len(odd)
    for alive in (LONG_AGO, ENDLESS, "now"):
        insert(database, "taskscheduler.nodes", stored({**NODE, "alive": alive}))
    silent = ObjectId()
    insert(database, "taskscheduler.jobs", stored(RECORD, silent))
    node = start_node(orphaned_timeout=6)
    good = [scheduler.add_job("noop", at=timedelta(seconds=0.3)), scheduler.add_job("noop", solo="k")]
    good += [scheduler.add_job("noop", limits="a"), scheduler.add_job("noop", sequence="t")]
    ends(database, *good)
    eventually(lambda: jobs.count_documents({"_id": silent, "status": Status.TIMEOUT}) == 1, 30, "it is silent")
    stuck = {"status": 1, "at": {"$ne": ENDLESS}}
    eventually(lambda: jobs.count_documents(stuck) == 0, 30, "nothing is postponed for ever")
    assert main(["--uri", uri, "status"]) == 0
    record = scheduler.track("import", solo="p").start()
    assert scheduler.cancel_job(record.id)
    unharmed(node)
    assert "maintenance failed" not in node.log.read_text()


def test_a_result_that_nobody_can_read_back_costs_only_its_job(
    scheduler: Scheduler, database: Documents, start_node: StartNode
) -> None:
    node = start_node()
    odd = scheduler.add_job("undecodable")
    good = scheduler.add_jobs([("noop", number) for number in range(20)])
    ends(database, odd, *good)
    error = error_of(database, odd)
    assert (error["type"], "not read back" in error["message"]) == ("InvalidDataError", True)
    assert {process.refresh().status for process in good} == {Status.DONE}
    unharmed(node)


@pytest.mark.parametrize("status", [99, -1, "done", None, True, 2.5], ids=repr)
def test_a_job_without_a_status_can_be_cancelled(scheduler: Scheduler, database: Documents, status: Any) -> None:
    process = scheduler.add_job("noop", at=4e9)
    database["taskscheduler.jobs"].update_one({"_id": process.id}, {"$set": {"status": status}})
    process.cancel()
    assert process.status is Status.CANCELED
    assert process.ended is not None


@pytest.mark.parametrize("service", ["mail", 5, [{"name": "mail"}]], ids=repr)
def test_a_job_is_tried_again_as_it_is_although_it_looks_like_a_service(
    scheduler: Scheduler, database: Documents, service: Any
) -> None:
    process = scheduler.add_job("noop", at=4e9)
    process.cancel()
    database["taskscheduler.jobs"].update_one({"_id": process.id}, {"$set": {"service": service}})
    again = scheduler.retry_job(process.id)
    assert again.status is Status.WAITING
    assert again.to_dict()["service"] == service
