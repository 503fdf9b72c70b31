"""A job that somebody else has stored under an id that is no ObjectId can be named wherever an id is taken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from starlette.testclient import TestClient
from tests.support.odd_documents import IDS, JOBS, stored
from tests.support.web import HOME, visit

from taskscheduler import AsyncScheduler, InvalidStateError, JobNotFoundError, Process, Scheduler, Status
from taskscheduler_daemon.cli import main as command_line

Documents = Database[dict[str, Any]]
Run = Callable[..., str]

ODD = [*IDS, "6a5f01c2e26cf26c6d0ede69", "a/b c?d#e'\"", UUID(int=7), datetime(2026, 1, 2, tzinfo=UTC)]


@pytest.fixture
def jobs(scheduler: Scheduler, database: Documents) -> list[Process]:
    """The jobs with odd ids, that wait, in the order of ODD; and one ordinary job beside them."""
    scheduler.add_job("noop", at=4e9)
    found: list[Process] = []
    for odd_id in ODD:
        job = {**JOBS["waiting"], "class": f"odd-{len(found)}", "dedupe": f"{odd_id!r}"}
        database["taskscheduler.jobs"].insert_one(RawBSONDocument(stored(job, odd_id)))
        found += scheduler.get_jobs({"class": job["class"]})
    return found


@pytest.fixture
def run(uri: str, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command, which must end with this code; returns what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        assert command_line(["--uri", uri, *arguments]) == code, capfd.readouterr()
        return capfd.readouterr().out

    return run


def statuses(scheduler: Scheduler) -> list[Status]:
    return [process.status for process in scheduler.get_jobs({"class": {"$regex": "^odd"}})]


def test_commands_take_what_the_list_shows(jobs: list[Process], scheduler: Scheduler, run: Run) -> None:
    listed = run("list", "-o", "id").splitlines()
    assert {process.id_text for process in jobs} < set(listed)
    for process in jobs:
        assert process.job in run("show", process.id_text)
        assert process.id_text in run("cancel", process.id_text, "-o", "id")
        run("wait", process.id_text, code=1)
        run("retry", process.id_text, code=5)
    assert statuses(scheduler) == [Status.CANCELED] * len(ODD)
    for process in jobs:
        assert f"job {process.id_text} deleted" in run("delete", "--yes", process.id_text)
        run("show", process.id_text, code=3)
    assert len(list(scheduler.get_jobs({}))) == 1


def test_an_id_that_is_a_query_names_no_job(jobs: list[Process], scheduler: Scheduler, run: Run) -> None:
    for text in ('{"$gt": ""}', '{"$ne": 0}', '{"$exists": true}', '{"$in": [7, "text"]}'):
        for command in (("show",), ("cancel",), ("delete", "--yes")):
            run(*command, text, code=3)
    assert statuses(scheduler) == [Status.WAITING] * len(ODD)
    assert len(jobs) == len(ODD)


def test_methods_take_the_text(jobs: list[Process], scheduler: Scheduler) -> None:
    for process in jobs:
        found = scheduler.get_job(process.id_text)
        assert (found, hash(found), found.job) == (process, hash(process), process.job)
        assert found.cancel()
        assert found.refresh().status is Status.CANCELED
        assert scheduler.cancel_job(process.id_text)
        with pytest.raises(InvalidStateError, match="its id is no ObjectId"):
            scheduler.retry_job(process.id_text)
        assert scheduler.delete_job(process.id_text)
        with pytest.raises(JobNotFoundError):
            scheduler.delete_job(process.id_text)


def test_coroutines_take_the_text(jobs: list[Process], uri: str) -> None:
    async def main() -> None:
        async with AsyncScheduler(uri) as scheduler:
            for process in jobs:
                found = await scheduler.get_job(process.id_text)
                assert await found.cancel()
                assert found.status is Status.CANCELED
                assert await scheduler.delete_job(process.id_text)

    asyncio.run(main())


def submit(client: TestClient, address: str) -> str:
    """Answers the question of an action with yes; returns the page that follows."""
    form = client.get(address).text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]+)"', form))
    posted = re.findall(r'<form method="post" action="([^"]+)"', form)
    answer = client.post(posted[0], data=fields, headers={"Origin": HOME})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_pages_link_to_it(jobs: list[Process], scheduler: Scheduler) -> None:
    with visit(scheduler) as client:
        for process in jobs:
            listed = client.get("/jobs").text
            address = f"/jobs/{quote(process.id_text)}"
            assert f'href="{address}"' in listed
            page = client.get(address).text
            assert process.job in page
            assert f'href="{address}/retry"' not in page
            assert "The job is cancelled." in submit(client, f"{address}/cancel")
            assert scheduler.get_job(process.id_text).status is Status.CANCELED
            assert "The job is deleted." in submit(client, f"{address}/delete")
    assert statuses(scheduler) == []


def test_the_web_service_shows_it(jobs: list[Process], scheduler: Scheduler, database: Documents) -> None:
    database["taskscheduler.jobs"].update_one({"_id": 7}, {"$unset": {"created": ""}})
    with visit(scheduler) as client:
        found = {task["identifier"] for task in client.get("/tasks").json()}
        assert {process.id_text for process in jobs} < found
        for process in jobs:
            assert client.get(f"/task/{quote(process.id_text, safe='')}").json()["job"] == process.job
        assert client.get("/task/text").status_code == 404
