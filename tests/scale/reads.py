"""What people read: every page, route and command, how long each takes and what it costs the server.

`.venv/bin/python -m tests.scale.reads URI [ROUNDS [TEXT]]` prints that for a database that `tests.scale.cluster` has
filled: of all, or of those whose names contain a text. The times are on the wall, and of the processors.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from click.testing import CliRunner
from pymongo.database import Database

from taskscheduler import Scheduler
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.overview import ClusterOverview
from taskscheduler_daemon.cli.database import DatabaseView
from taskscheduler_daemon.cli.group import cli
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.cli.top.snapshot import Snapshot
from tests.benchmarks.processes import cpu_seconds
from tests.support.web import visit

ROUNDS = 20

_PROFILE = "system.profile"

#: queries that find one job of each kind, and the index by which
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "done": ({"status": 3}, "retention_done"),
    "failed": ({"fingerprint": {"$gt": ""}}, "failures"),
    "waiting": ({"status": 0}, "claim"),
    "running": ({"status": 2, "boot": {"$exists": True}}, "held"),
    "tagged": ({"tags": "eu"}, "tags"),
    "run": ({"schedule": "nightly-1"}, "schedule"),
    "signal": ({"status": 1, "awaits.name": "approved"}, "awaits"),
    **{
        name: ({"blocked": {"$gte": text}, "parked_at": {"$exists": True}}, "blocked")
        for name, text in (("full", "limit:s"), ("turn", "group:"), ("behind", "sequence:"), ("paused", "pause:job:"))
    },
}

EXPRESSIONS = (
    "status:failed",
    "status:failed class:app.mail.job_03",
    "status:failed,timeout",
    "status:canceled",
    "status:done class:app.mail.job_07",
    "status:waiting queue:queue-01",
    "status:waiting queue:queue-55",
    "queue:queue-03",
    "class:app.mail.job_05",
    "tag:eu",
    "status:live class:app.mail.job_02",
    "status:postponed limit:stripe-1",
    "status:postponed group:customer-3",
    "sequence:stuck-4",
    "schedule:nightly-1",
    "data.n:1",
    "data.n:77",
    "status:waiting data.n:77",
    "error:space",
    "status:failed error:nothing",
    "created:>-1h",
    "ended:>-1h status:done",
    "status:running",
    "node:web-1",
    "fingerprint:000000000007",
    "id:000000000000000000000000",
)


class Read(NamedTuple):
    """Something that is read."""

    name: str
    act: Callable[[], Any]
    most: float = 0.2  #: seconds


class Cost(NamedTuple):
    """What a read costs; of several rounds, the median of the time."""

    name: str
    seconds: float
    processor: float  #: seconds of this process and of the server for one read; other programs do not lengthen it
    statements: int
    keys: int  #: that the most costly statement has examined
    documents: int  #: the same
    scans: int  #: documents that the largest look at a whole collection has examined
    worst: str  #: the plan of the most costly statement
    most: float


def landmarks(scheduler: Scheduler) -> dict[str, Any]:
    """The ids of a job of each kind, of a flow and of the large one."""
    jobs, flows = scheduler.store.jobs.collection, scheduler.store.flows.collection
    found = {name: jobs.find_one(query, {"_id": 1}, hint=index) for name, (query, index) in KINDS.items()}
    ids = {name: str(job["_id"]) for name, job in found.items() if job is not None}
    small, large = flows.find_one({"status": "done"}), flows.find_one({"total": {"$gt": 1000}})
    assert small is not None
    assert large is not None
    return {**ids, "small": str(small["_id"]), "large": str(large["_id"])}


def addresses(known: dict[str, Any]) -> Iterator[str]:
    """The addresses of all pages and routes that only read."""
    jobs = [known[name] for name in KINDS if name in known]
    yield from ("/", "/?range=6h", "/?range=72h", "/nodes", "/control", "/schedules", "/schedules?name=nightly-1")
    yield from (f"/schedules?state={state}" for state in ("paused", "undeclared"))
    yield "/schedule?name=nightly-1"
    yield from ("/failures", "/failures?since=30d", "/failures?job=app.mail.job_00", "/audit", "/audit?who=ops@web-1")
    yield from (
        "/audit?what=limit.set",
        "/audit?outcome=refused",
        "/history",
        "/history?since=72h",
        "/history?since=90d",
    )
    yield from ("/history?since=72h&job=app.mail.job_01", "/history?since=90d&queue=queue-01")
    yield from ("/flows", "/flows?status=running", "/flows?name=order", "/flows?name=order&status=failed")
    yield from (f"/flows/{known[name]}" for name in ("small", "large"))
    yield f"/flows/{known['large']}?step=50"
    yield "/jobs"
    yield from (f"/jobs?status={one}" for one in ("live", "waiting", "postponed", "processing", "done", "failed"))
    yield from (f"/jobs?status={one}" for one in ("canceled", "timeout"))
    yield from (f"/jobs?kind={one}" for one in ("service", "program", "solo"))
    yield from (f"/jobs?{urlencode({'q': one})}" for one in EXPRESSIONS)
    yield from (f"/jobs?status=live&{urlencode({'q': one})}" for one in ("data.n:77", "tag:eu"))
    yield from (
        f"/jobs?{urlencode(one)}"
        for one in (
            {"job": "app.mail.job_04"},
            {"queue": "queue-02"},
            {"queue": "queue-02", "status": "live"},
            {"tag": "eu"},
            {"job": "app.mail.job_04", "status": "failed"},
            {"schedule": "nightly-2"},
            {"before": known["done"]},
            {"queue": "queue-00", "status": "waiting"},
            {"queue": "queue-04", "status": "failed"},
        )
    )
    yield from (f"/jobs/{job}" for job in jobs)
    yield from (f"/jobs/words?{urlencode({'q': one})}" for one in ("status:", "class:", "queue:"))
    yield from ("/metrics", "/tasks", "/tasks?status=waiting")
    yield from (
        f"/api/v1/{name}"
        for name in (
            "status",
            "counts",
            "queues",
            "nodes",
            "failures",
            "failures?since=86400",
            "pauses",
            "services",
            "schedules",
            "schedules/nightly-1",
            "schedules/nightly-1/next",
            "flows",
            f"flows/{known['small']}",
            f"flows/{known['large']}",
            f"flows/{known['large']}/jobs",
            f"flows/{known['large']}/jobs?skip=9000",
            "limits",
            "limits/stripe-1",
            "groups",
            "groups/customer-1",
            "sequences",
            "why",
            "metrics",
            "metrics?since=72h&by=job",
            "audit",
            "jobs",
            "jobs?limit=1000",
            "jobs/count",
        )
    )
    yield from (f"/api/v1/jobs?{urlencode({'q': one})}" for one in EXPRESSIONS)
    yield from (f"/api/v1/jobs/count?{urlencode({'q': one})}" for one in EXPRESSIONS)
    for job in jobs:
        yield f"/api/v1/why/{job}"
        yield from (f"/api/v1/jobs/{job}{part}" for part in ("", "/attempts", "/history", "/result", "/logs"))


COMMANDS = (
    "status",
    "counts",
    "counts --by queue",
    "list --limit 50",
    "list --limit 50 --status waiting",
    "list --limit 50 --status done",
    "list --limit 50 --status failed",
    "list --limit 50 --queue queue-01",
    "failures",
    "failures --since 1h",
    "nodes",
    "limits list",
    "groups list",
    "sequences list",
    "pauses",
    "why --summary",
    "flow list --limit 50",
    "schedule list",
    "service list",
    "metrics",
    "audit",
)


def pages(scheduler: Scheduler, known: dict[str, Any]) -> Iterator[Read]:
    """Pages and routes, as a browser asks for them."""
    client = visit(scheduler)

    def asked(address: str) -> Callable[[], None]:
        def act() -> None:
            answer = client.get(address)
            assert answer.status_code == 200, (address, answer.status_code, answer.text[:300])

        return act

    for address in addresses(known):
        yield Read(address, asked(address))


def commands(uri: str) -> Iterator[Read]:
    """Commands, in this process: with the time that it takes to connect, without that to import modules."""

    def run(command: str) -> Callable[[], None]:
        def act() -> None:
            settings = Settings(uri=uri)
            done = CliRunner().invoke(cli, command.split(), obj=settings, env={"TASKSCHEDULER_URI": uri})
            assert done.exit_code in (0, 1), (command, done.output[:500], done.exception)

        return act

    for command in COMMANDS:
        yield Read(command, run(command), 0.5)


def refresh(scheduler: Scheduler) -> Read:
    """What `top` reads each time it draws."""
    store = scheduler.store
    view = DatabaseView(ClusterOverview(store.database, store.options), JobLists(store.database, store.options))
    return Read("top", lambda: Snapshot.read(view), 0.05)


def cost(database: Database[dict[str, Any]], read: Read, rounds: int = ROUNDS) -> Cost:
    """Reads it so often, and once more for the server's profiler."""
    read.act()
    times, at_work = [], [os.getpid(), int(database.client.admin.command("serverStatus")["pid"])]
    before = cpu_seconds(at_work)
    for _ in range(rounds):
        began = time.perf_counter()
        read.act()
        times.append(time.perf_counter() - began)
    processor = (cpu_seconds(at_work) - before) / rounds
    with _profiled(database):
        read.act()
    noted = list(database[_PROFILE].find({"op": {"$ne": "getmore"}, "ns": {"$not": {"$regex": r"\.system\."}}}))
    worst = max(noted, key=lambda one: one.get("keysExamined", 0) + one.get("docsExamined", 0), default={})
    looks = [one.get("docsExamined", 0) for one in noted if "COLLSCAN" in str(one.get("planSummary"))]
    keys, documents = (max((one.get(name, 0) for one in noted), default=0) for name in ("keysExamined", "docsExamined"))
    told = f"{worst.get('planSummary', '')} {str(worst.get('command', ''))[:300]}"
    median = statistics.median(times)
    return Cost(read.name, median, processor, len(noted), keys, documents, max(looks, default=0), told, read.most)


@contextmanager
def _profiled(database: Database[dict[str, Any]]) -> Iterator[None]:
    database.command("profile", 0)
    database.drop_collection(_PROFILE)
    database.create_collection(_PROFILE, capped=True, size=64 * 2**20)
    database.command("profile", 2)
    try:
        yield
    finally:
        database.command("profile", 0)


def _main(uri: str, rounds: str = "5", wanted: str = "") -> None:
    with Scheduler(uri) as scheduler:
        known = landmarks(scheduler)
        for read in (*pages(scheduler, known), *commands(uri), refresh(scheduler)):
            if wanted in read.name:
                try:
                    one = cost(scheduler.store.database, read, int(rounds))
                except AssertionError as error:
                    print("FAILED", str(error)[:400])  # noqa: T201
                    continue
                late = "LATE" if one.seconds > one.most else "    "
                times = f"{one.seconds * 1000:6.0f} ms {one.processor * 1000:6.0f} ms"
                figures = f"{times} {one.statements:3} {one.keys:7} {one.documents:7} {one.scans:6}"
                told = one.worst if late.strip() or max(one.keys, one.documents) > 2000 else ""
                print(late, figures, one.name, told[:330], flush=True)  # noqa: T201


if __name__ == "__main__":
    _main(*sys.argv[1:])
