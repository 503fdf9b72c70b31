"""A large cluster as it is stored: millions of ended jobs, live ones held back by everything there is, nodes, history.

`.venv/bin/python -m tests.scale.cluster URI ENDED LIVE DIRECTORY` fills a database to try something on it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bson import ObjectId

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.declarations.flows import FlowJob
from taskscheduler.model.audit.actors import COMMAND_LINE, Actor
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler.model.metrics.steps import HOUR, MINUTE
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.model.options import AUDIT, METRICS, NODES
from taskscheduler.operations.audit.acting import acting_as
from tests.scale.copying import BATCH, Pattern, Stamp, unconfirmed
from tests.scale.models import LIMIT, SCHEDULE, Models, models

CLASSES = [f"app.mail.job_{number:02}" for number in range(12)]
QUEUES = [f"queue-{number:02}" for number in range(5)]
CROWDED = 60  #: queues in which jobs wait
MISTAKES = 200
NODE_COUNT, WORKERS = 20, 8
LARGE_FLOW = (100, 100)  #: layers, and jobs of each
DAYS = 5.0  #: less than what ended is kept


class Size(NamedTuple):
    """How many jobs there are."""

    ended: int
    live: int


def fill(uri: str, size: Size, directory: Path) -> None:
    """Fills a database with as many jobs; what else there is does not depend on that."""
    with Scheduler(uri) as scheduler:
        found = models(scheduler, uri, directory)
        with acting_as(Actor("ops@web-1", via=COMMAND_LINE)):
            controls(scheduler)
        ended(found).fill(scheduler.store.jobs.collection, size.ended, DAYS)
        live(found).fill(scheduler.store.jobs.collection, size.live, DAYS)
        nodes(scheduler, found)
        history(scheduler)
        small_flows(scheduler, found)
        scheduler.flows.add(layers(*LARGE_FLOW))


def ended(found: Models) -> Pattern:
    """Of a thousand ended jobs most are done; a hundredth failed by one mistake, some by two hundred others."""
    many = Stamp(found["failed"], **{"class": CLASSES[0], "queue": QUEUES[0]})
    mistakes = [
        Stamp(found["failed"], **{"class": CLASSES[number % 12], "fingerprint": f"{number:012x}"})
        for number in range(MISTAKES)
    ]
    return Pattern(
        (880, _spread(found, "done")),
        (20, _spread(found, "retried")),
        (20, _spread(found, "tagged")),
        (20, _spread(found, "limited")),
        (10, _spread(found, "grouped")),
        (10, _spread(found, "ordered")),
        (20, [Stamp(found["run"], schedule=f"{SCHEDULE}-{number}") for number in range(10)]),
        (5, _spread(found, "canceled")),
        (3, _spread(found, "timeout")),
        (10, [many]),
        (2, mistakes),
    )


def _spread(found: Models, kind: str) -> list[Stamp]:
    places = [{"class": name, "queue": queue} for name in CLASSES for queue in QUEUES]
    return [Stamp(found[kind], **place) for place in places]


def live(found: Models) -> Pattern:
    """Of a thousand live jobs two fifths wait, in queues of which two have most; the others are held back."""
    crowded = [Stamp(found["waiting"], **{"class": CLASSES[0], "queue": queue}) for queue in QUEUES[:2]]
    queues = [
        Stamp(found["waiting"], **{"class": CLASSES[number % 12], "queue": f"queue-{number:02}"})
        for number in range(CROWDED)
    ]
    at_work = [
        Stamp(found["running"], **{"class": CLASSES[number % 12]}) for number in range(12)
    ]  # held by a node that is not there any more
    return Pattern(
        (320, crowded),
        (80, queues),
        (120, [Stamp(found["paused"])]),
        (140, [_limited(found, number) for number in range(5)]),
        (120, [_in_turn(found, number) for number in range(20)]),
        (60, [_behind(found, number) for number in range(100)]),
        (2, [_blocking(found, number) for number in range(100)]),
        (140, _spread(found, "postponed")),
        (16, [Stamp(found["signal"])]),
        (1, [Stamp(found["program"])]),
        (1, at_work),
    )


def _limited(found: Models, number: int) -> Stamp:
    name = f"{LIMIT}-{number}"
    return Stamp(found["full"], limits=[name], blocked=f"limit:{name}")


def _in_turn(found: Models, number: int) -> Stamp:
    name, stored = f"customer-{number}", found["turn"]
    return Stamp(stored, group=name, blocked=stored["blocked"].replace("\0customer", f"\0{name}"))


def _behind(found: Models, number: int) -> Stamp:
    return Stamp(found["behind"], sequence=f"stuck-{number}", blocked=f"sequence:stuck-{number}")


def _blocking(found: Models, number: int) -> Stamp:
    return Stamp(found["blocking"], sequence=f"stuck-{number}")


def controls(scheduler: Scheduler) -> None:
    """Sets what holds jobs back."""
    for number in range(5):
        scheduler.limits.set(f"{LIMIT}-{number}", concurrency=1)
    scheduler.limits.set("tenant:*", rate=100)
    scheduler.groups.set("customer-0", weight=3)
    scheduler.pause(job="trace", reason="the disk is full")
    scheduler.pause(queue="files", reason="moved")
    for number in range(200):
        scheduler.schedules.add(f"{SCHEDULE}-{number}", CLASSES[0], cron="30 2 * * *", timezone="Europe/Zurich")
    scheduler.start_service("feed-reader", name="feed")


def nodes(scheduler: Scheduler, found: Models) -> None:
    """Registers nodes that are up, each with busy workers that run jobs."""
    jobs = scheduler.store.jobs.collection
    for number in range(NODE_COUNT):
        boot = ObjectId()
        running = [Stamp(found["running"], boot=boot, node=f"web-{number}", **{"class": CLASSES[0]}) for _ in range(1)]
        Pattern((1, running)).fill(jobs, WORKERS, 0.01)
        ids = [job["_id"] for job in jobs.find({"status": 2, "boot": boot}, {"_id": 1})]
        workers = [{**found.node["workers"][0], "id": str(ObjectId()), "job": job_id} for job_id in ids]
        now = datetime.now(UTC)
        more = {"name": f"web-{number}", "lease": 86_400, "alive": now, "jobs": [*CLASSES, "noop", "wait", "order"]}
        node = {**found.node, **more, "_id": boot, "workers": workers, "slots": WORKERS, "running": WORKERS}
        scheduler.store.database[NODES].insert_one(node)


def history(scheduler: Scheduler) -> None:
    """Stores three days of minutes, three months of hours, and a year of what people did."""
    now, store = datetime.now(UTC), scheduler.store
    series = [Series(name, queue) for name in CLASSES for queue in QUEUES]
    metrics = store.database[METRICS]
    metrics.delete_many({})
    store.metrics.add(ObjectId(), portion(now, series))
    for step, count in ((MINUTE, 72 * 60), (HOUR, 90 * 24)):
        model = metrics.find_one({"_id": step.key(step.begins(now))})
        times = [step.begins(now) - timedelta(seconds=step.seconds * number) for number in range(1, count)]
        metrics.insert_many([{**(model or {}), "_id": step.key(at), "expires": step.expires(at)} for at in times])
    while store.metrics.fold_a_day(now):  # as nodes do
        pass
    (model,) = store.database[AUDIT].find({"expires": {"$exists": True}}).limit(1)
    for _ in range(10):
        store.database[AUDIT].insert_many([{**model, "_id": ObjectId()} for _ in range(BATCH)])


def portion(at: datetime, series: Sequence[Series]) -> Portion:
    """What a node has counted: jobs of all these classes and queues."""
    made = Portion(MINUTE.begins(at))
    made.number = 1
    for one in series:
        made.add(Sample(one, Ending.SUCCEEDED, 0.02, 3.0, Status.DONE))
    return made


def small_flows(scheduler: Scheduler, found: Models, count: int = 5000) -> None:
    """Stores flows of two jobs that have ended."""
    flows, jobs = scheduler.store.flows, scheduler.store.jobs.collection
    flows.ensure()
    ids = [ObjectId() for _ in range(count)]
    flows.collection.insert_many([{**found.flow, "_id": one, "name": f"order {one}"} for one in ids])
    stamps = (Stamp(found["flow"], flow=one) for one in ids for _ in range(2))
    now = round(datetime.now(UTC).timestamp() * 1000)
    unconfirmed(jobs).insert_many([stamp.copy(now - 3_600_000) for stamp in stamps], ordered=False)


def layers(deep: int, wide: int) -> Flow:
    """A flow of layers; each job comes after all of the layer before."""
    flow = Flow("layers")
    before: list[FlowJob] = []
    for _ in range(deep):
        before = [flow.add(CLASSES[0], after=before) for _ in range(wide)]
    return flow


if __name__ == "__main__":
    fill(sys.argv[1], Size(int(sys.argv[2]), int(sys.argv[3])), Path(sys.argv[4]))
