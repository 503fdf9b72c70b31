"""Takes the pictures of the dashboard that the README shows: `python -m tests.browser.picture`.

The page is the real one. The database is one that a shop with three nodes could have: an hour of history, jobs that
wait, run and have ended, and a mistake that somebody has to look at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bson import ObjectId
from playwright.sync_api import sync_playwright
from tests.browser.conftest import CHROMIUM, serving
from tests.support.pages import DOCS

from taskscheduler import Scheduler, Status, job
from taskscheduler.embedded import acquire
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler.model.metrics.steps import MINUTE
from taskscheduler.model.metrics.tally import Portion

WIDTH, HEIGHT = 1400, 800

MINUTES = 61


class Work(NamedTuple):
    """What the shop does."""

    job: str
    queue: str
    often: float  #: in a minute
    seconds: float
    wait: float
    failing: float = 0.0  #: which part fails


WORK = (
    Work("shop.SendMail", "mail", 21, 0.35, 0.006, 0.012),
    Work("shop.Thumbnail", "images", 13, 1.8, 0.05),
    Work("shop.ChargeCard", "payments", 6, 0.9, 0.004, 0.004),
    Work("shop.SyncStock", "stock", 3, 6.5, 0.3),
    Work("shop.Report", "reports", 0.4, 48, 1.5),
)

NODES = ("web-1", "web-2", "batch-1")

RUNNING = (
    ("shop.Report", "batch-1", 95, 64.0, "writing sheet 8 of 12"),
    ("shop.SyncStock", "batch-1", 5, 81.0, "4 050 of 5 000 items"),
    ("shop.Thumbnail", "web-2", 2, 50.0, ""),
    ("shop.ChargeCard", "web-1", 1, 0.0, ""),
)

TIMEOUT = {
    "type": "SMTPServerDisconnected",
    "message": "Connection unexpectedly closed: timed out",
    "traceback": "",
    "place": "mail.py:42 in send",
}
DECLINED = {
    "type": "GatewayError",
    "message": "502 from api.payments.example",
    "traceback": "",
    "place": "charge.py:17 in charge",
}


def filled(scheduler: Scheduler) -> None:
    """Fills a database."""
    for work in WORK:
        job(name=work.job)(lambda **_data: None)
    boots = dict(nodes(scheduler))
    history(scheduler, next(iter(boots.values())))
    for work in WORK:
        number = round(work.often * 60)
        failed = round(number * work.failing)
        with_status(scheduler, work, number - failed, Status.DONE, progress=100.0)
        error, fingerprint = (TIMEOUT, "4f2c9a61d0b3") if work.queue == "mail" else (DECLINED, "a91e07c5d2f8")
        with_status(scheduler, work, failed, Status.FAILED, error=error, fingerprint=fingerprint)
    with_status(scheduler, WORK[3], 2, Status.TIMEOUT)
    with_status(scheduler, WORK[1], 1, Status.CANCELED)
    for name, node, seconds, progress, message in RUNNING:
        running(scheduler, name, boots[node], node, seconds, progress, message)
    scheduler.add_jobs([("shop.Thumbnail", {"n": n}, {"queue": "images"}) for n in range(34)])
    scheduler.add_jobs([("shop.SendMail", {"n": n}, {"queue": "mail", "at": timedelta(minutes=9)}) for n in range(12)])
    scheduler.schedules.add("nightly-report", "shop.Report", cron="30 2 * * mon-fri", timezone="Europe/Zurich")
    with scheduler.audit.acting("ada", role="operator"):
        scheduler.pause(queue="reports", reason="the warehouse moves until noon")
    scheduler.add_jobs([("shop.Report", {"n": n}, {"queue": "reports"}) for n in range(3)])


def nodes(scheduler: Scheduler) -> Iterator[tuple[str, ObjectId]]:
    """Registers nodes that are up; yields their names and starts."""
    for name in NODES:
        boot, workers = ObjectId(), [{"id": str(ObjectId()), "pid": 4000 + n, "job": None} for n in range(4)]
        facts = {"name": name, "lease": 86_400, "slots": 4, "version": "2026.11", "jobs": [one.job for one in WORK]}
        scheduler.store.nodes.register(boot, {**facts, "workers": workers, "host": name, "pm": "dynamic"})
        yield name, boot


def history(scheduler: Scheduler, boot: ObjectId) -> None:
    """Counts what has ended in the last hour, busier in the middle of it."""
    drawn, now = random.Random(11), datetime.now(UTC)
    for ago in range(MINUTES, 0, -1):
        portion = Portion(MINUTE.begins(now - timedelta(minutes=ago)))
        portion.number = MINUTES - ago + 1
        busy = 1.25 - abs(ago - 26) / 45
        for work in WORK:
            for _ in range(round(drawn.gauss(work.often * busy, work.often**0.5 / 2))):
                run, wait = (value * drawn.lognormvariate(0, 0.5) for value in (work.seconds, work.wait))
                fails = drawn.random() < work.failing * (4 if 20 < ago < 28 else 0.6)
                ending, status = (Ending.FAILED, Status.FAILED) if fails else (Ending.SUCCEEDED, Status.DONE)
                portion.add(Sample(Series(work.job, work.queue), ending, wait, run, status))
        scheduler.store.metrics.add(boot, portion)


def with_status(scheduler: Scheduler, work: Work, number: int, status: Status, **fields: Any) -> None:
    """Adds jobs that ended within the last hour."""
    if number > 0:
        added = scheduler.add_jobs([(work.job, {"n": n}, {"queue": work.queue}) for n in range(number)])
        known = {"status": int(status), "attempt": 1, "node": "web-1", **fields}
        literal = {name: {"$literal": value} for name, value in known.items()}
        changed_jobs(scheduler, [process.id for process in added], {"started": "$$NOW", "ended": "$$NOW", **literal})


def running(
    scheduler: Scheduler, name: str, boot: ObjectId, node: str, seconds: float, progress: float, message: str
) -> None:
    """Adds a job that runs."""
    started = {"$subtract": ["$$NOW", round(seconds * 1000)]}
    known = {"status": int(Status.PROCESSING), "attempt": 1, "boot": boot, "claim": str(ObjectId()), "node": node,
             "progress": progress, "message": message}  # fmt: skip
    literal = {name: {"$literal": value} for name, value in known.items()}
    fields = {"started": started, "claimed": started, "alive": "$$NOW", **literal}
    changed_jobs(scheduler, [scheduler.add_job(name).id], fields)


def changed_jobs(scheduler: Scheduler, ids: list[Any], fields: dict[str, Any]) -> None:
    """Stores fields of jobs."""
    stored = scheduler.store.database[scheduler.options.job_store]
    stored.update_many({"_id": {"$in": ids}}, [{"$set": fields}])


def main() -> None:
    """Takes a light and a dark picture."""
    (DOCS / "images").mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, acquire(folder) as server, Scheduler(server.uri_of("shop")) as scheduler:
        filled(scheduler)
        with serving(scheduler) as port, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
                page.goto(f"http://127.0.0.1:{port}/", wait_until="load")
                page.screenshot(path=DOCS / "images" / f"dashboard-{scheme}.png", animations="disabled")
            browser.close()


if __name__ == "__main__":
    main()
