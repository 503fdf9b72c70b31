"""Fills a job store with millions of jobs: the product writes one of each kind, which is copied with ids and dates."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bson import CodecOptions, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from taskscheduler import Scheduler
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence
from taskscheduler.store.indexes.definitions import ON_DEMAND

NAME = "scale-job"
HOLDERS = 4  #: nodes that hold claimed jobs
HELD = 25  #: by each of them
DEBTS = 20  #: ended jobs that owe something
DUE = 50  #: postponed jobs whose time has come

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_BATCH = 10_000
_BEGIN = datetime.now(UTC) - timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many jobs of each kind there are."""

    waiting: int
    finished: int
    postponed: int


def fill(scheduler: Scheduler, crowd: Crowd) -> list[ObjectId]:
    """Fill the store; the starts of the nodes that hold jobs.

    The oldest wait, the newest have ended: the hardest order for whoever looks for live ones by age.
    """
    scheduler.store.on_demand.make(ON_DEMAND)  # as where each capability has been used
    jobs = scheduler.store.jobs.collection
    raw = jobs.with_options(codec_options=_RAW, write_concern=WriteConcern(w=1, j=False))
    waiting, postponed, done = _waiting(scheduler), _postponed(scheduler), _done(scheduler)
    overdue = _BEGIN + timedelta(hours=1)
    _copy(raw, waiting, crowd.waiting, _BEGIN)
    _copy(raw, postponed, DUE, overdue)
    _copy(raw, postponed, crowd.postponed - DUE, overdue + timedelta(hours=1), at=datetime.now(UTC) + timedelta(days=1))
    _copy(raw, done, crowd.finished, overdue + timedelta(hours=2))
    _owe(scheduler)
    return _hold(scheduler)


def copy(scheduler: Scheduler, job_id: ObjectId, count: int) -> None:
    """Copy a job that waits so often; the copies are older than it is."""
    jobs = scheduler.store.jobs.collection.with_options(codec_options=_RAW, write_concern=WriteConcern(w=1, j=False))
    _copy(jobs, _stored(scheduler, job_id), count, _BEGIN)


def _waiting(scheduler: Scheduler) -> RawBSONDocument:
    return _stored(scheduler, scheduler.add_jobs([(NAME, {"to": "somebody"})])[0].id)


def _postponed(scheduler: Scheduler) -> RawBSONDocument:
    later = {"at": timedelta(days=30)}
    return _stored(scheduler, scheduler.add_jobs([(NAME, {"to": "somebody"}, later)])[0].id)


def _done(scheduler: Scheduler) -> RawBSONDocument:
    job_id = scheduler.add_jobs([(NAME, {"to": "somebody"})])[0].id
    store = scheduler.store
    store.claims.claim([job_id], "claim", ObjectId(), "node")
    assert (
        store.completions.write([Completion(Fence(job_id, "claim", 1), Verdict(Transition.SUCCEED), str(ObjectId()))])
        == 1
    )
    return _stored(scheduler, job_id)


def _stored(scheduler: Scheduler, job_id: ObjectId) -> RawBSONDocument:
    found = scheduler.store.jobs.collection.with_options(codec_options=_RAW).find_one({"_id": job_id})
    assert found is not None
    return found


def _owe(scheduler: Scheduler) -> None:
    """Ended jobs whose node died before it had paid what they owed."""
    for process in scheduler.add_jobs([(NAME, {"to": "somebody"})] * DEBTS):
        assert scheduler.store.jobs.cancel(process.id)


def _hold(scheduler: Scheduler) -> list[ObjectId]:
    boots = [ObjectId() for _ in range(HOLDERS)]
    for number, boot in enumerate(boots):
        ids = [process.id for process in scheduler.add_jobs([(NAME, {"to": "somebody"})] * HELD)]
        scheduler.store.claims.claim(ids, f"claim-{number}", boot, "node")
    return boots


def _copy(
    jobs: Collection[RawBSONDocument],
    template: RawBSONDocument,
    count: int,
    created: datetime,
    at: datetime | None = None,
) -> None:
    for start in range(0, count, _BATCH):
        jobs.insert_many(_copies(template, range(start, min(count, start + _BATCH)), created, at or created))


def _copies(template: RawBSONDocument, numbers: range, created: datetime, at: datetime) -> Iterator[RawBSONDocument]:
    """The same document with other values of fixed width, a millisecond after each other."""
    content = bytearray(template.raw)
    id_at = _place(content, b"\x07_id\x00")
    due = b"\x09parked_at\x00" if b"\x09parked_at\x00" in content else b"\x09at\x00"
    dates = [(_place(content, b"\x09created\x00"), created), (_place(content, due), at)]
    if b"\x09ended\x00" in content:
        dates.append((_place(content, b"\x09ended\x00"), datetime.now(UTC) - timedelta(hours=1)))
    places = [(place, round(date.timestamp() * 1000)) for place, date in dates]
    seconds = int(created.timestamp())
    for number in numbers:
        content[id_at : id_at + 12] = ObjectId().binary
        struct.pack_into(">I", content, id_at, seconds + number // 1000)
        for place, milliseconds in places:
            struct.pack_into("<q", content, place, milliseconds + number)
        yield RawBSONDocument(bytes(content))


def _place(content: bytearray, name: bytes) -> int:
    """Where the value of a field begins, of which the type is known."""
    return content.index(name) + len(name)
