"""The options unique_for and debounce: one job for a key, whoever adds when, and the newest data that were accepted."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.at_once import answers_at_once
from tests.support.eventually import eventually
from tests.support.jobs import Noop

from taskscheduler import AsyncScheduler, Process, Scheduler, Status
from taskscheduler.store.claims import ALL_JOBS, Scope
from taskscheduler.store.control.windows import WindowStore
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main

WINDOWS = "taskscheduler.windows"
BOOT = ObjectId()
PROCESSES, KEYS, TIMES = 8, 25, 5

#: adds jobs of some keys, each many times, and says when each call began and ended and what came of it
_ADDER = """
import json, sys, time
from taskscheduler import Scheduler
uri, number, keys, times, options = *sys.argv[1:3], *map(json.loads, sys.argv[3:6])
told = []
with Scheduler(uri) as scheduler:
    scheduler.counts()
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for key in range(keys):
        for time_ in range(times):
            data, began = f"{key} {number} {time_}", time.monotonic()
            process = scheduler.add_job("windowed", data, options, unique_key=f"key {key}")
            told.append([key, data, began, time.monotonic(), str(process.id), process.outcome])
sys.stdout.write(json.dumps(told))
"""


def add_from_processes(uri: str, keys: int, times: int, **options: Any) -> list[list[Any]]:
    """What 8 processes say that add the same jobs in the same order at the same time."""
    arguments = [json.dumps(one) for one in (keys, times, options)]
    outputs = answers_at_once(_ADDER, [[uri, str(number), *arguments] for number in range(PROCESSES)], 120)
    return [told for output in outputs for told in json.loads(output)]


def add(scheduler: Scheduler, data: Any = 1, **options: Any) -> Process:
    return scheduler.add_job(Noop, data, **{"unique_for": 60, **options})


def debounce(scheduler: Scheduler, data: Any = 1, **options: Any) -> Process:
    return scheduler.add_job(Noop, data, **{"debounce": 5, "unique_key": "k", **options})


def pass_by(scheduler: Scheduler, seconds: float) -> None:
    InlineNode(scheduler).advance(seconds)


def windows(scheduler: Scheduler) -> list[dict[str, Any]]:
    return list(scheduler.store.database[WINDOWS].find())


# -- unique_for -------------------------------------------------------------------------------------------------------


def test_8_processes_add_one_job_for_each_key(uri: str, scheduler: Scheduler) -> None:
    told = add_from_processes(uri, KEYS, TIMES, unique_for=600)
    assert len(told) == PROCESSES * KEYS * TIMES
    created = {key: job_id for key, _, _, _, job_id, outcome in told if outcome == "created"}
    assert sum(outcome == "created" for *_, outcome in told) == len(created) == KEYS
    assert all(job_id == created[key] for key, _, _, _, job_id, _ in told)
    assert scheduler.store.jobs.collection.count_documents({}) == len(windows(scheduler)) == KEYS


def test_the_same_job_is_added_again_when_the_seconds_are_over(scheduler: Scheduler) -> None:
    first = add(scheduler, {"a": 1, "b": 2})
    again = add(scheduler, {"b": 2, "a": 1}, queue="other")
    assert (first.outcome, again.outcome, again.id) == ("created", "existing", first.id)
    pass_by(scheduler, 30)
    assert add(scheduler, {"a": 1, "b": 2}).id == first.id
    pass_by(scheduler, 30)
    assert add(scheduler, {"a": 1, "b": 2}).outcome == "created"


def test_a_window_counts_seconds_of_the_server(scheduler: Scheduler) -> None:
    began = time.monotonic()
    add(scheduler, unique_for=0.3)
    eventually(lambda: add(scheduler, unique_for=0.3).outcome == "created")
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(("more", "other"), [({}, 2), ({"ignore_data": True}, None), ({"unique_key": "k"}, None)])
def test_what_counts_as_the_same(scheduler: Scheduler, more: dict[str, Any], other: Any) -> None:
    first = add(scheduler, 1, **more)
    assert add(scheduler, 1 if other else 2, **more).id == first.id
    assert scheduler.add_job("other", 1, unique_for=60, **more).outcome == "created"
    if other:
        assert add(scheduler, other, **more).outcome == "created"


def test_whatever_became_of_the_accepted_job(scheduler: Scheduler) -> None:
    first = add(scheduler)
    InlineNode(scheduler).run_until_idle()
    assert (add(scheduler).id, add(scheduler).status) == (first.id, Status.DONE)
    first.refresh()
    scheduler.delete_job(first.id)
    deleted = add(scheduler)
    assert (deleted.id, deleted.outcome, deleted.status) == (first.id, "existing", Status.CANCELED)
    pass_by(scheduler, 60)
    assert add(scheduler).outcome == "created"


def test_a_later_run_of_an_interval_opens_no_window(scheduler: Scheduler) -> None:
    first = add(scheduler, interval=30)
    node = InlineNode(scheduler)
    for _ in range(3):
        node.run_until_idle()
        node.advance(30)
    assert add(scheduler, interval=30).outcome == "created"
    assert scheduler.store.jobs.collection.count_documents({"series": first.id}) == 4


def test_a_record_is_deleted_by_the_server_when_its_window_is_over(scheduler: Scheduler) -> None:
    add(scheduler)
    (record,) = windows(scheduler)
    index = scheduler.store.database[WINDOWS].index_information()["retention"]
    assert (index["key"], index["expireAfterSeconds"]) == ([("until", 1)], 0)
    assert timedelta(seconds=50) < record["until"] - datetime.now(UTC) <= timedelta(seconds=60)
    assert set(record) == {"_id", "job", "until"}


def test_whoever_uses_no_window_pays_nothing(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    scheduler.add_job(Noop, dedupe=True)
    assert WINDOWS not in scheduler.store.database.list_collection_names()
    assert not {"unique_for", "unique_key", "debounce", "debounce_max"} & job.refresh().to_dict()["options"].keys()


@pytest.mark.parametrize("record", [{}, {"job": 5, "until": "soon"}, {"job": ObjectId(), "until": "soon"}])
def test_a_record_that_somebody_else_has_spoiled_blocks_nothing(scheduler: Scheduler, record: dict[str, Any]) -> None:
    add(scheduler)
    key = windows(scheduler)[0]["_id"]
    scheduler.store.database[WINDOWS].replace_one({"_id": key}, record)
    assert [add(scheduler).outcome for _ in range(2)] == ["created", "existing"]


@pytest.mark.parametrize(("made", "ends"), [(-3600, -3600), (0, 0), (3600, 0)])
def test_a_window_that_others_settle_begins_between_its_opening_and_now(
    database: Database[dict[str, Any]], scheduler: Scheduler, made: int, ends: int
) -> None:
    """Whatever the clock of the adder said: its job was made an hour ago, now, or in an hour."""
    store, job, now = WindowStore(scheduler.store.database), ObjectId(), scheduler.store.clock.now()
    store.open("key", job, 60)
    opened = now + timedelta(seconds=min(made, 0))
    database[WINDOWS].update_one({"_id": "key"}, {"$set": {"opened": opened}})
    store.settle_for_others("key", job, now + timedelta(seconds=made), 60)
    (record,) = windows(scheduler)
    assert abs((record["until"] - now).total_seconds() - 60 - ends) < 5
    store.settle_for_others("key", job, now, 999)
    assert windows(scheduler) == [record], "settled once"


# -- debounce ---------------------------------------------------------------------------------------------------------


@pytest.mark.faults  # eight processes more, as for one job for each key
def test_of_8_processes_the_newest_data_that_were_accepted_count(uri: str, scheduler: Scheduler) -> None:
    told = add_from_processes(uri, 5, 10, debounce=600)
    for key in range(5):
        of_key = [one for one in told if one[0] == key]
        assert sorted({outcome for *_, outcome in of_key}) == ["created", "debounced"]
        (job_id,) = {job_id for *_, job_id, _ in of_key}
        kept = next(one for one in of_key if one[1] == scheduler.get_job(job_id).data)
        assert not [one for one in of_key if one[2] > kept[3]], "none was begun after that one was accepted"
    assert sum(outcome == "created" for *_, outcome in told) == scheduler.store.jobs.collection.count_documents({}) == 5


def test_a_queued_job_is_put_off_and_takes_the_newest_data(scheduler: Scheduler) -> None:
    first = debounce(scheduler, {"n": 1}, debounce=50, priority=7)
    assert (first.outcome, first.status) == ("created", Status.POSTPONED)
    assert first.to_dict()["at"] - first.to_dict()["created"] == timedelta(seconds=50)
    pass_by(scheduler, 30)
    second = debounce(scheduler, {"n": 2}, debounce=50, queue="other")
    assert (second.id, second.outcome, second.data) == (first.id, "debounced", {"n": 2})
    assert (second.options["priority"], second.options["queue"]) == (7, "default"), "all else stays"
    node = InlineNode(scheduler)
    node.advance(30)
    assert node.run_due() == []
    node.advance(20)
    assert [process.data for process in node.run_due()] == [{"n": 2}]
    third = debounce(scheduler, {"n": 3}, debounce=50)
    assert (third.outcome, third.id != first.id) == ("created", True)


def test_it_is_never_put_off_beyond_the_longest_time(scheduler: Scheduler) -> None:
    longest: dict[str, Any] = {"debounce": 50, "debounce_max": 120}
    first, node, ran = debounce(scheduler, 0, **longest), InlineNode(scheduler), []
    for number in range(1, 5):
        node.advance(30)
        ran += node.run_due()
        assert debounce(scheduler, number, **longest).id == first.id or number == 4
    assert [(process.id, process.data) for process in ran] == [(first.id, 3)]


def test_it_is_never_brought_forward(scheduler: Scheduler) -> None:
    first = debounce(scheduler, 1, debounce=60)
    second = debounce(scheduler, 2, debounce=1, debounce_max=1)
    assert (second.at, second.data) == (first.refresh().at, 2)
    assert second.at is not None
    assert second.at > scheduler.store.clock.now() + timedelta(seconds=50)


def test_a_job_that_waits_for_a_slot_is_put_off_again_and_nodes_hear_of_it(scheduler: Scheduler) -> None:
    first = debounce(scheduler)
    pass_by(scheduler, 5)
    scheduler.store.postponed_jobs.promote([first.id])
    assert first.refresh().status is Status.WAITING
    again = debounce(scheduler, 2)
    assert (again.id, again.status, again.outcome) == (first.id, Status.POSTPONED, "debounced")
    assert [event.status for event in scheduler.store.events.of_job(first.id, 10)] == [Status.POSTPONED]
    eventually(lambda: scheduler.store.database["taskscheduler.queue"].find_one({"rearmed": True}), 30, "a message")


def test_a_job_past_the_longest_time_only_takes_the_data(scheduler: Scheduler) -> None:
    first = debounce(scheduler, 1, debounce_max=5)
    pass_by(scheduler, 6)
    scheduler.store.postponed_jobs.promote([first.id])
    again = debounce(scheduler, 2, debounce_max=5)
    assert (again.id, again.status, again.data) == (first.id, Status.WAITING, 2)


def test_a_solo_job_that_waits_for_its_turn_keeps_its_place(scheduler: Scheduler) -> None:
    running = scheduler.add_job("holder", solo="device")
    scheduler.store.claims.claim_one(running.id, ALL_JOBS, "claim", BOOT, "node")
    first, node = debounce(scheduler, 1, solo="device"), InlineNode(scheduler, queues=["nothing"])
    node.advance(5)
    node.run_due()
    parked = first.refresh().to_dict()
    again = debounce(scheduler, 2, solo="device")
    assert (again.id, again.data) == (first.id, 2)
    assert {**again.to_dict(), "data": 1} == parked
    assert "parked_at" in parked


def test_a_job_that_runs_has_given_up_its_key(scheduler: Scheduler) -> None:
    first = debounce(scheduler)
    pass_by(scheduler, 5)
    scheduler.store.postponed_jobs.promote([first.id])
    scheduler.store.claims.claim_one(first.id, ALL_JOBS, "claim", BOOT, "node")
    second = debounce(scheduler, 2)
    assert (second.outcome, first.refresh().data) == ("created", 1)
    scheduler.store.claims.release_claim("claim", BOOT)
    assert debounce(scheduler, 3).id == second.id, "also when it waits again"


def test_adding_against_a_node_that_claims_loses_nothing(scheduler: Scheduler) -> None:
    """What was accepted last for a key stands in the job that ran last, or in the one that is queued."""
    stop, claims = threading.Event(), scheduler.store.claims

    def take() -> None:
        while not stop.is_set():
            scheduler.store.postponed_jobs.promote(scheduler.store.postponed_jobs.find())
            claims.claim([job["_id"] for job in claims.candidates(Scope(["default"]), 10)], "claim", BOOT, "node")

    def add_some(key: int) -> list[Process]:
        return [debounce(scheduler, number, debounce=0.001, unique_key=f"{key}") for number in range(60)]

    with ThreadPoolExecutor(4) as pool:
        taking = pool.submit(take)
        added = list(pool.map(add_some, range(3)))
        stop.set()
        taking.result()
    for processes in added:
        created = [process.id for process in processes if process.outcome == "created"]
        assert len(created) == len(set(created))
        jobs = {process.id: scheduler.get_job(process.id) for process in processes}
        assert [jobs[process.id].data for process in processes] == sorted(
            jobs[process.id].data for process in processes
        )
        assert jobs[processes[-1].id].data == 59
        assert all(jobs[process.id].data >= number for number, process in enumerate(processes))
    assert any(process.outcome == "debounced" for processes in added for process in processes)


def test_dedupe_and_debounce_share_a_key(scheduler: Scheduler) -> None:
    first = scheduler.add_job(Noop, 1, dedupe=True, unique_key="k")
    assert scheduler.add_job(Noop, 2, dedupe=True, unique_key="k").id == first.id
    assert (debounce(scheduler, 3).id, debounce(scheduler, 3).outcome) == (first.id, "debounced")
    assert first.refresh().data == 3


def test_the_look_for_the_queued_job_uses_an_index(scheduler: Scheduler) -> None:
    job = debounce(scheduler).to_dict()
    query = {"dedupe": job["dedupe"], "status": int(Status.POSTPONED)}
    plan = scheduler.store.jobs.collection.find(query).explain()["queryPlanner"]["winningPlan"]
    assert "'indexName': 'dedupe'" in str(plan)


# -- everywhere -------------------------------------------------------------------------------------------------------


def test_a_batch_finds_its_own(scheduler: Scheduler) -> None:
    unique, later = {"unique_for": 60}, {"debounce": 5, "ignore_data": True}
    added = scheduler.add_jobs([(Noop, 1, unique), Noop, (Noop, 1, unique), (Noop, 2, later), (Noop, 3, later)])
    assert [process.outcome for process in added] == ["created", "created", "existing", "created", "debounced"]
    assert added[4].data == 3


def test_handlers_hear_of_what_is_added_and_not_of_what_was_there(scheduler: Scheduler) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    for _ in range(2):
        add(scheduler)
        debounce(scheduler)
    assert heard == ["waiting", "postponed"]


def test_coroutines_have_them(uri: str) -> None:
    async def body() -> list[Any]:
        async with AsyncScheduler(uri) as scheduler:
            added = [await scheduler.add_job(Noop, unique_for=60) for _ in range(2)]
            added += [await scheduler.add_job(Noop, n, debounce=5, ignore_data=True) for n in range(2)]
            return [process.outcome for process in added]

    assert asyncio.run(body()) == ["created", "existing", "created", "debounced"]


def test_the_command_line_has_them(
    uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def outcome(*options: str, code: int = 0) -> str:
        assert main(["add", "mail", "1", *options, "-o", "tsv"]) == code
        said = capsys.readouterr()
        return said.err if code else said.out.split()[-1]

    assert [outcome("--unique-for", "5m") for _ in range(2)] == ["created", "existing"]
    put_off = ("--debounce", "5s", "--debounce-max", "1m", "--unique-key", "k")
    assert [outcome(*put_off) for _ in range(2)] == ["created", "debounced"]
    assert "option unique_for is for add_job" in outcome("--unique-for", "5m", "--once", code=2)
    assert "options debounce and at exclude each other" in outcome("--debounce", "5", "--at", "5s", code=2)


@pytest.mark.parametrize("wrong", [{"unique_for": -1}, {"debounce": 5, "id": ObjectId()}, {"debounce_max": 5}])
def test_nothing_is_written_for_options_that_are_refused(scheduler: Scheduler, wrong: dict[str, Any]) -> None:
    refused: Callable[..., Any] = scheduler.add_job
    with pytest.raises(ValueError, match=next(iter(wrong))):
        refused(Noop, **wrong)
    assert scheduler.store.jobs.collection.count_documents({}) == len(windows(scheduler)) == 0
