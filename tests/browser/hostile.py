"""Fills a database with texts that break pages: endless words, other directions, signs that do not print, markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

from bson import ObjectId
from tests.browser.filling import SCRIPT
from tests.integration.test_metrics import portion
from tests.support.flowing import order
from tests.support.web import ended, says

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.model.audit.actors import WEB, Actor
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Series
from taskscheduler.model.options import AUDIT, CONTROLS, FLOWS, NODES, SCHEDULES
from taskscheduler.operations.audit.acting import acting_as

WORD = "W" * 10_000  #: without a place to break
UNDERLINED = "_".join(["never_ending_name"] * 600)
TURNED = "\u202e" + "txt.exe \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 " * 40
EMOJI = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f9e8" * 300
UNPRINTABLE = "a\x1b[31mred\x07\x08\u2028b\u200b\ufeffc" * 100
STACKED = "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324" * 200
MANY = " ".join(["endless"] * 1500)

TEXTS = (WORD, UNDERLINED, TURNED, EMOJI, UNPRINTABLE, STACKED, MANY, SCRIPT)

_KEYS = tuple(text[:180] for text in TEXTS)


def filled(scheduler: Scheduler) -> tuple[ObjectId, ObjectId]:
    """Fills it; returns the id of a flow, and that of a failed job."""
    texts = cycle(TEXTS)
    _nodes(scheduler)
    failed = [_failed(scheduler, text) for text in TEXTS]
    for text in TEXTS:
        fields = {"class": text, "queue": text, "node": text, "worker": text, "message": text, "progress": 7.0}
        ended(scheduler, Status.PROCESSING, **fields)
        ended(scheduler, Status.WAITING, **{"class": next(texts), "queue": text, "blocked": f"queue:{text}"})
        ended(scheduler, Status.DONE, **{"class": text, "result": {text: [text]}})
    _schedules(scheduler)
    _controls(scheduler)
    says(scheduler, failed[0], 0, *TEXTS)
    flow = scheduler.flows.add(order(9)).id
    scheduler.store.database[FLOWS].update_one({"_id": flow}, {"$set": {"name": WORD}})
    for text in TEXTS:
        small = Flow("small")
        small.add("noop")
        added = scheduler.flows.add(small).id
        scheduler.store.database[FLOWS].update_one({"_id": added}, {"$set": {"name": text}})
    stored = scheduler.store.jobs.collection
    for job, text in zip(list(stored.find({"flow": flow}, {"_id": 1})), cycle(TEXTS), strict=False):
        stored.update_one({"_id": job["_id"]}, {"$set": {"class": text, "label": text}})
    return flow, failed[0]


def _failed(scheduler: Scheduler, text: str) -> ObjectId:
    now = datetime.now(UTC)
    error = {"type": text, "message": text * 2, "traceback": (text + "\n") * 5, "place": text}
    attempts: list[dict[str, Any]] = [
        {"attempt": number, "status": 4, "started": now - timedelta(seconds=300 - 90 * number),
         "ended": now - timedelta(seconds=250 - 90 * number), "node": text, "error": error}
        for number in (1, 2, 3)
    ]  # fmt: skip
    more = {"class": text, "queue": text, "error": error, "fingerprint": str(ObjectId())[-12:], "attempts": attempts}
    facts = {"node": text, "worker": text, "tags": [text, text], "group": text, "sequence": text, "limits": [text]}
    return ended(scheduler, Status.FAILED, data={text: [text, {"a": text}]}, **more, **facts)


def _nodes(scheduler: Scheduler) -> None:
    now = datetime.now(UTC)
    for text in TEXTS:
        workers = [{"id": str(ObjectId()), "pid": text, "job": ObjectId(), "cpu": 1e30, "rss": 10**15}]
        facts = {"name": text, "lease": 86_400, "slots": 4, "version": text, "jobs": [text], "queues": [text] * 9}
        node = {**facts, "workers": workers, "pm": text, "host": text, "pid": 10**18}
        scheduler.store.nodes.register(ObjectId(), node)
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "lease": 86_400, "slots": 4, "jobs": ["noop"]})
    scheduler.store.database[NODES].update_one({"name": "web-1"}, {"$set": {"workers": "none"}})
    for text in _KEYS:
        series = Series(text[:100], text[:100])
        for minute in range(5):
            scheduler.store.metrics.add(ObjectId(), portion(now - timedelta(minutes=minute), 1, series))
        scheduler.store.metrics.add(ObjectId(), portion(now, 1, series, ending=Ending.FAILED))


def _schedules(scheduler: Scheduler) -> None:
    stored = scheduler.store.database[SCHEDULES]
    scheduler.schedules.add("model", "noop", cron=["30 2 * * mon-fri"] + [f"{n} 3 * * *" for n in range(50)])
    model = stored.find_one({"_id": "model"}) or {}
    stored.insert_many([{**model, "_id": text[:900], "class": text, "reason": text, "paused": True} for text in TEXTS])
    scheduler.schedules.run("model")


def _controls(scheduler: Scheduler) -> None:
    database = scheduler.store.database
    with acting_as(Actor("ops", via=WEB)):
        for text in filter(str.isprintable, _KEYS):
            scheduler.limits.set(text, concurrency=10_000)
            scheduler.groups.set(text, weight=3)
            scheduler.pause(tag=text[:100], reason=text)
    database[CONTROLS].update_many({"reason": {"$exists": True}}, {"$set": {"by": WORD}})
    entry = database[AUDIT].find_one({}) or {}
    for text in TEXTS:
        stored = {**entry, "_id": ObjectId(), "who": text, "what": text, "on": text, "reason": text, "error": text}
        database[AUDIT].insert_one(stored)
