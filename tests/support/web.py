"""The web application on a real database, and jobs as they are stored at their end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId, json_util
from starlette.testclient import TestClient

from taskscheduler import Scheduler, Status
from taskscheduler.model.logs.lines import LEAST_SIZE, STDOUT, Entry, chunk_document
from taskscheduler_daemon.presentation.text import JSON_OPTIONS
from taskscheduler_daemon.web.api.records import plain
from taskscheduler_daemon.web.app import create_app

_AWARE = JSON_OPTIONS.with_options(tz_aware=True)

HOME = "http://localhost:8080"


class Frame(NamedTuple):
    """What a page shows around its content, without an application."""

    root: str = ""
    database: str = "app"
    can_log_out: bool = False


FRAME = Frame()

_OWN = re.compile(r'<script src="[^"]*/static/[^"]*"( defer)?></script>')


def without_own(text: str) -> str:
    """A page without the scripts of its own, which are files of ours."""
    return _OWN.sub("", text)


def visit(scheduler: Scheduler, token: str | None = None, **more: Any) -> TestClient:
    """A client of an application in which the job `noop` may be posted."""
    return TestClient(
        create_app(scheduler, ["noop"], token, ["jobs.example"]), HOME, raise_server_exceptions=False, **more
    )


def ended(scheduler: Scheduler, status: Status, **fields: Any) -> ObjectId:
    """A job as it is stored at its end."""
    job_id = scheduler.add_job("noop").id
    literal = {name: {"$literal": value} for name, value in {"status": int(status), "attempt": 1, **fields}.items()}
    stored = scheduler.store.database[scheduler.options.job_store]
    stored.update_one({"_id": job_id}, [{"$set": {"ended": "$$NOW", "started": "$$NOW", **literal}}])
    return job_id


def says(scheduler: Scheduler, job: ObjectId, number: int, *lines: str) -> None:
    """Stores what the first attempt of a job has printed, as the part of its log with this number."""
    entries = [Entry(datetime.now(UTC).timestamp(), STDOUT, f"{line}\n".encode()) for line in lines]
    start = number * LEAST_SIZE * len(lines)
    scheduler.store.logs.write([chunk_document(job, 1, number, start, entries)])


def as_served(printed: str) -> Any:
    """What the command line has printed, in the form of the web service."""
    return plain(json_util.loads(printed, json_options=_AWARE))
