"""`taskscheduler migrate` moves a database of version 0.1.0 to this version, and says what it does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.older_database import load

from taskscheduler import Scheduler, Status
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.migration.steps import STEPS
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.operations.migration.migrate import migrate
from taskscheduler.store.migration.migrations import MigrationStore
from taskscheduler_daemon.cli import main

JOBS, NODES = "taskscheduler.jobs", "taskscheduler.nodes"

OLD = "old on web-1 (version 0.1.0)"


@pytest.fixture
def uri(bare_uri: str) -> str:
    """The URI of a database that does not exist yet."""
    return bare_uri


@pytest.fixture
def ids(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """The ids of the jobs in the older database by what they were left as."""
    return load(database)


@pytest.fixture
def store(database: Database[dict[str, Any]], ids: dict[str, Any]) -> MigrationStore:
    """The migration of the older database."""
    assert ids
    return MigrationStore(database, SchedulerOptions())


def states(steps: Any) -> list[str]:
    return [str(report.state) for report in steps]


def snapshot(database: Database[dict[str, Any]]) -> list[Any]:
    indexes = database[JOBS].index_information()
    return [sorted(database.list_collection_names()), indexes, list(database[JOBS].find().sort("_id"))]


def end_older_node(database: Database[dict[str, Any]]) -> None:
    database[NODES].update_many({}, {"$set": {"lost": True}})


def refresh_older_node(database: Database[dict[str, Any]]) -> None:
    database[NODES].update_many({}, {"$currentDate": {"alive": True}, "$set": {"lease": 600.0}})


def test_a_plan_says_what_is_needed_and_writes_nothing(
    database: Database[dict[str, Any]], store: MigrationStore
) -> None:
    end_older_node(database)
    before = snapshot(database)
    plan = store.plan()
    assert states(plan) == ["needed"] * len(STEPS)
    assert "blocked" in plan[0].found
    assert snapshot(database) == before


def test_jobs_are_kept_and_only_what_the_steps_say_is_changed(
    database: Database[dict[str, Any]], store: MigrationStore, ids: dict[str, Any]
) -> None:
    end_older_node(database)
    before = {job["_id"]: job for job in database[JOBS].find()}
    parked = {job_id for job_id, job in before.items() if "parked_at" in job}
    assert states(migrate(store)) == ["done"] * len(STEPS)
    after = {job["_id"]: job for job in database[JOBS].find()}
    lists = {job_id: job.pop("blocked") for job_id, job in after.items() if job_id in parked}
    failed = after[ids["failed"]]
    assert failed.pop("fingerprint") == fingerprint_of({"type": "ValueError"}, "fail")
    assert after == before
    assert set(lists) == parked != set()
    assert all(name.startswith("solo:") for name in lists.values())
    assert {"parked", "retention"}.isdisjoint(database[JOBS].index_information())
    assert states(migrate(store)) == states(store.plan()) == ["not needed"] * len(STEPS)


def test_what_an_older_node_needs_stays_while_it_runs(
    database: Database[dict[str, Any]], store: MigrationStore
) -> None:
    refresh_older_node(database)
    reports = list(migrate(store))
    assert states(reports) == ["done", "done", "waits", "waits", "waits"]
    assert {name for report in reports for name in report.nodes} == {OLD}
    assert {"parked", "retention"} <= database[JOBS].index_information().keys()
    end_older_node(database)
    assert states(migrate(store)) == ["not needed", "not needed", "done", "done", "done"]


def test_failures_that_cannot_be_read_or_changed_cost_only_themselves(
    database: Database[dict[str, Any]], store: MigrationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler.store.migration.failures.BATCH", 2)
    end_older_node(database)
    odd = {"status": 4, "class": 7, "error": "no", "ended": "yesterday"}
    failed = [{**odd, "_id": job_id} for job_id in ("a", 7, 2.5, True, ObjectId(), {"a": 1})]
    timed_out = [{"status": 6, "class": "slow", "_id": number, "error": {"type": 1}} for number in range(100, 105)]
    database[JOBS].insert_many([*failed, *timed_out])
    assert states(migrate(store))[2:] == ["done"] * 3
    named = list(database[JOBS].find({"fingerprint": {"$exists": True}}))
    assert len(named) == 1 + len(failed) + len(timed_out)
    assert len({job["fingerprint"] for job in named}) == 3


def test_a_job_that_the_older_version_has_run_again_loses_its_fingerprint(
    database: Database[dict[str, Any]], store: MigrationStore, ids: dict[str, Any]
) -> None:
    end_older_node(database)
    list(migrate(store))
    database[JOBS].update_one({"_id": ids["failed"]}, {"$set": {"status": int(Status.DONE)}})
    load_indexes_again(database)
    assert store.plan()[2].found == "some that are done have one"
    list(migrate(store))
    assert "fingerprint" not in database[JOBS].find_one({"_id": ids["failed"]})  # type: ignore[operator]


def load_indexes_again(database: Database[dict[str, Any]]) -> None:
    """As a node of version 0.1.0 does when it connects."""
    keys = [("solo", 1), ("priority", -1), ("parked_at", 1), ("_id", 1)]
    database[JOBS].create_index(keys, name="parked", partialFilterExpression={"parked_at": {"$exists": True}})


def test_a_database_of_this_version_needs_nothing(uri: str, database: Database[dict[str, Any]]) -> None:
    with Scheduler(uri) as scheduler:
        scheduler.add_job("echo")
    assert states(MigrationStore(database, SchedulerOptions()).plan()) == ["not needed"] * len(STEPS)


def test_the_command_and_doctor_say_what_is_to_be_done(
    uri: str,
    database: Database[dict[str, Any]],
    store: MigrationStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        assert err == ""
        return code, out

    refresh_older_node(database)
    code, out = run("migrate", "--dry-run", "-o", "table")
    assert (code, f"waits for {OLD}" in out) == (1, True)
    code, out = run("migrate", "-o", "json")
    assert (code, [one["state"] for one in json.loads(out)]) == (1, ["done", "done", "waits", "waits", "waits"])
    [finding] = [one for one in json.loads(run("doctor", "-o", "json")[1]) if one["check"] == "schema"]
    assert (finding["result"], OLD in finding["text"]) == ("warning", True)
    end_older_node(database)
    [finding] = [one for one in json.loads(run("doctor", "-o", "json")[1]) if one["check"] == "schema"]
    assert finding["cure"] == "run: taskscheduler migrate"
    code, out = run("migrate", "-o", "table")
    assert (code, out.splitlines()[-1]) == (0, "The database is of this version.")
    assert [line.split("\t")[2] for line in run("migrate")[1].splitlines()[1:]] == ["not needed"] * len(STEPS)
    [finding] = [one for one in json.loads(run("doctor", "-o", "json")[1]) if one["check"] == "schema"]
    assert (finding["result"], store.plan()[0].is_settled) == ("ok", True)
