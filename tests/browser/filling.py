"""Fills a database with what the pages show: jobs in every state, hostile texts, schedules, a flow, limits, nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from tests.integration.test_metrics import portion
from tests.support.flowing import order
from tests.support.web import ended

from taskscheduler import Scheduler, Status
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Series

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

FINGERPRINT = "a1b2c3d4e5f6"

_ERROR = {"type": SCRIPT, "message": SCRIPT * 30, "traceback": (SCRIPT + "\n") * 30, "place": "mail.py:42 in start"}


def filled(scheduler: Scheduler) -> tuple[ObjectId, ObjectId]:
    """Fills it; returns the id of the flow, and that of a failed job whose texts are hostile."""
    nodes(scheduler)
    hostile = failures(scheduler)
    for status in (Status.DONE, Status.TIMEOUT, Status.CANCELED):
        ended(scheduler, status, progress=100.0, message="all sent", result={"sent": 7})
    scheduler.add_jobs([("noop", {"n": number}, {"queue": "mail"}) for number in range(60)])
    scheduler.add_job("noop", at=timedelta(hours=1))
    scheduler.start_service("noop", name="feed")
    scheduler.track("import", rows=12).start()
    for name in ("nightly", SCRIPT):
        scheduler.schedules.add(name, "noop", cron="30 2 * * mon-fri", timezone="Europe/Zurich")
        scheduler.schedules.run(name)
    scheduler.schedules.pause("nightly", "moved")
    scheduler.limits.set("stripe", concurrency=1)
    scheduler.add_jobs([("noop", None, {"limits": "stripe"})] * 2)
    scheduler.groups.set("large", weight=3)
    scheduler.pause(queue="files", reason=SCRIPT)
    return scheduler.flows.add(order(9)).id, hostile


def failures(scheduler: Scheduler) -> ObjectId:
    """Adds jobs that failed by one mistake after several attempts."""
    now = datetime.now(UTC)
    attempts: list[dict[str, Any]] = [
        {"attempt": number, "status": 4, "started": now - timedelta(seconds=300 - 90 * number),
         "ended": now - timedelta(seconds=250 - 90 * number), "node": "web-1", "error": _ERROR}
        for number in (1, 2)
    ]  # fmt: skip
    more = {"class": SCRIPT, "error": _ERROR, "fingerprint": FINGERPRINT, "attempts": attempts, "node": "web-1"}
    return [ended(scheduler, Status.FAILED, data={SCRIPT: SCRIPT * 9}, **more) for _ in range(4)][-1]


def nodes(scheduler: Scheduler) -> None:
    """Registers a node that is up and a lost one, and what they have counted."""
    workers = [{"id": str(ObjectId()), "pid": 4711, "job": None}]
    known = {"lease": 86_400, "slots": 4, "version": "1.4.2", "jobs": ["noop"], "workers": workers}
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", **known})
    lost = ObjectId()
    scheduler.store.nodes.register(lost, {"name": SCRIPT, **known})
    scheduler.store.nodes.declare_lost(lost, 0)
    now, series = datetime.now(UTC), Series("noop", "mail")
    for minute in range(30):
        scheduler.store.metrics.add(ObjectId(), portion(now - timedelta(minutes=minute), 1, *[series] * minute))
    scheduler.store.metrics.add(ObjectId(), portion(now, 1, series, ending=Ending.FAILED))
