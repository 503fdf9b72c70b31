"""What MongoDB alone could do: the same documents, indexes and write concerns, by the bare driver in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from bson import CodecOptions, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from taskscheduler.model.document import Document, new_document
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import encode
from taskscheduler.store.attempts.claiming import claim_update
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import batch_done_update
from taskscheduler.store.client import DURABLE, PROMPT, durable
from taskscheduler.store.fence import Fence
from taskscheduler.store.indexes.definitions import CLAIM_ORDER
from taskscheduler.store.schema import ensure
from tests.benchmarks.pacing import in_threads
from tests.benchmarks.stage import Stage

_BATCH = 1000
_OPTIONS = SchedulerOptions.of({})
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def documents(count: int) -> list[RawBSONDocument]:
    """New jobs as add_job stores them."""
    options = JobOptions.of({})
    now = datetime.now(UTC)
    made = (new_document("bench-stamp", None, options, now) for _ in range(count))
    return [encode({**document, "hook": False}, _OPTIONS.max_payload) for document in made]


def measure(stage: Stage) -> None:
    """Batches of each kind of write that a job goes through, one kind after the other.

    Then again while somebody awaits a change stream on another collection, as nodes do: the server looks through all
    writes for it.
    """
    count = stage.scaled(30_000, 5_000)
    seconds = _pipeline(stage, count, watched=False)
    for name, took in seconds.items():
        stage.figures.note(f"floor.{name}_batch", count / took)
    stage.figures.note("floor.pipeline", count / _life(seconds))
    stage.figures.note("floor.pipeline_watched", count / _life(_pipeline(stage, count, watched=True)))


def _life(seconds: dict[str, float]) -> float:
    """What is done with a job that waits: it is claimed, finished, and told of twice."""
    return seconds["claim"] + seconds["finish"] + 2 * seconds["events"]


def _pipeline(stage: Stage, count: int, watched: bool) -> dict[str, float]:
    with stage.database() as plain, ExitStack() as stack:
        database = durable(plain)
        ensure(database, _OPTIONS)
        if watched:
            stack.enter_context(_watching(plain[_OPTIONS.job_queue]))
        jobs = database[_OPTIONS.job_store]
        seconds = {"insert": _insert(jobs, documents(count))}
        seconds["claim"], taken = _claim(jobs, ObjectId(), _claims(jobs))
        seconds["finish"] = _finish(jobs, taken)
        events = database.get_collection(_OPTIONS.event_queue, write_concern=PROMPT)
        seconds["events"] = _events(events, [ids for _, ids in taken])
    return seconds


@contextmanager
def _watching(collection: Collection[Document]) -> Iterator[None]:
    """A thread that awaits a change stream."""
    ending = threading.Event()
    with collection.watch(max_await_time_ms=500) as stream:

        def follow() -> None:
            while not ending.is_set():
                stream.try_next()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


def _insert(jobs: Collection[Document], made: Sequence[RawBSONDocument]) -> float:
    begun = time.monotonic()
    for start in range(0, len(made), _BATCH):
        jobs.insert_many(made[start : start + _BATCH], ordered=False)
    return time.monotonic() - begun


def _claims(jobs: Collection[Document]) -> Iterator[list[ObjectId]]:
    """The ids of waiting jobs, a batch at a time, in the order in which nodes claim them."""
    query: Document = {"status": 0, "queue": "default", "priority": 0}
    while found := list(jobs.find(query, {"at": 1}).sort(CLAIM_ORDER).limit(_BATCH)):
        yield [job["_id"] for job in found]
        query["at"] = {"$gte": found[-1]["at"]}


def _claim(
    jobs: Collection[Document], boot: ObjectId, batches: Iterator[list[ObjectId]]
) -> tuple[float, list[tuple[str, list[ObjectId]]]]:
    reading = jobs.with_options(codec_options=_RAW, read_concern=ReadConcern("majority"))
    begun, taken = time.monotonic(), []
    for number, ids in enumerate(batches):
        claim = f"{number:032x}"
        jobs.update_many({"_id": {"$in": ids}, "status": {"$in": [0]}}, claim_update(claim, boot, "floor"))
        held = list(reading.find({"boot": boot, "claim": claim, "status": 2}).hint("held"))
        taken.append((claim, [job["_id"] for job in held]))
    return time.monotonic() - begun, taken


def _finish(jobs: Collection[Document], taken: Sequence[tuple[str, list[ObjectId]]]) -> float:
    begun = time.monotonic()
    for claim, ids in taken:
        first = Completion(Fence(ids[0], claim, 1), Verdict(Transition.SUCCEED), "0" * 24)
        jobs.bulk_write([batch_done_update(first, ids)], ordered=False)
    return time.monotonic() - begun


def _events(log: Collection[Document], batches: Sequence[Sequence[ObjectId]]) -> float:
    begun = time.monotonic()
    for ids in batches:
        events = [{"job": job, "status": 2, "attempt": 1} for job in ids]
        log.insert_one({"_id": ObjectId(), "node": "floor", "events": events})
    return time.monotonic() - begun


@contextmanager
def single(stage: Stage, most: int) -> Iterator[Callable[[], object]]:
    """A function that inserts one job and waits until a majority has it in its journal."""
    with stage.database() as plain:
        database = durable(plain)
        ensure(database, _OPTIONS)
        jobs = database.get_collection(_OPTIONS.job_store, write_concern=DURABLE)
        ready = iter(documents(most))
        jobs.insert_one(next(ready))
        yield lambda: jobs.insert_one(next(ready))


def singles(stage: Stage, threads: int, seconds: float) -> float:
    """Single inserts per second."""
    with single(stage, round(10_000 * seconds)) as insert:
        return in_threads(threads, seconds, insert)
