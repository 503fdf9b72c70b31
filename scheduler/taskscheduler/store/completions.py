"""Writes the ends of many attempts at once, and progress. Every write is behind a fence and safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.clock import ServerClock
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import MEMBER_FIELDS, membership_of
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.alike import alike, with_results
from taskscheduler.store.attempts.completion import Completion, as_date, is_committed, is_written
from taskscheduler.store.attempts.ending import LATEST_END, batch_done_update, completion_update, results_update
from taskscheduler.store.attempts.quick_end import DONE, QuickEnd
from taskscheduler.store.client import PROMPT
from taskscheduler.store.fence import BY_ID, Fence
from taskscheduler.store.lenient_reads import read


class Sign(NamedTuple):
    """A sign of life of an attempt."""

    fence: Fence
    progress: Mapping[str, Any]  #: that came with it, and the worker
    parent: ObjectId | None = None
    began: float = 0.0  #: when it began, in monotonic time of this host; 0.0 if that is not known
    of_job: bool = True  #: whether the job gave it, and not its node for a job that gives none


class CompletionStore:
    """The ends and the progress of attempts, as nodes report them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: ServerClock) -> None:
        self._clock = clock
        self.collection: Collection[Document] = database[options.job_store]
        self._prompt = database.get_collection(options.job_store, write_concern=PROMPT)

    def write(self, completions: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> int:
        """Writes the ends of many attempts at once; returns how many fences still held.

        The caller repeats it after a fault: as updates of many documents the driver does not retry these writes, since
        its bookkeeping for that doubles the cost of a write.
        """
        matched, left = self._write(completions, quick), completions
        while matched < len(completions) + len(quick) and (left := self._grown(left)):
            matched += self._write(left)
        return matched

    def _write(self, completions: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> int:
        late = self._clock.at(self._clock.monotonic()) - LATEST_END
        for completion in completions:
            if completion.ended < late:
                completion.ended = 0.0
        simple = [completion for completion in completions if completion.is_simple]
        shared = with_results(completions)
        known = {id(one) for part in shared for one in part}
        others = [one for one in completions if not one.is_simple and id(one) not in known]
        writes = [completion_update(one) for one in others] + [results_update(part) for part in shared]
        for group in alike(quick, simple):
            first = group.first
            first.ended = first.ended if first.ended >= late else 0.0
            writes.append(batch_done_update(first, group.ids))
        return self.collection.bulk_write(writes, ordered=False).matched_count

    def _grown(self, completions: Sequence[Completion]) -> list[Completion]:
        """Returns those of these whose jobs run and are members of more joins than was known, which is known then."""
        of_flows = {one.fence.job_id: one for one in completions if one.member is not None}
        if not of_flows:
            return []
        query = {"_id": {"$in": list(of_flows)}, "status": int(Status.PROCESSING)}
        fields = dict.fromkeys(("claim", "attempt", *MEMBER_FIELDS), 1)
        grown = []
        for job in read(self.collection, lambda jobs: jobs.find(query, fields)):
            one = of_flows[job["_id"]]
            member, is_held = membership_of(job), (job.get("claim"), job.get("attempt")) == one.fence[1:]
            if is_held and member is not None and member != one.member:
                one.member = member
                grown.append(one)
        return grown

    def confirmed(self, completions: Sequence[Completion]) -> set[ObjectId]:
        """Returns the jobs whose end is in the database, for when fewer matched than were written.

        A job that has committed is DONE, however its attempt ended afterwards: that becomes its end.
        """
        ids = [completion.fence.job_id for completion in completions]
        fields = dict.fromkeys(("status", "claim", "attempt", "rearmed", "pending", *MEMBER_FIELDS), 1)
        jobs = read(self.collection, lambda jobs: jobs.find({"_id": {"$in": ids}}, fields))
        found = {job["_id"]: job for job in jobs}
        for one in completions:
            job = found.get(one.fence.job_id)
            if is_committed(one.fence, job):
                one.verdict, one.effects, one.member = DONE, _pending(job), membership_of(job or {})
        written = [one for one in completions if is_written(one, found.get(one.fence.job_id))]
        return {completion.fence.job_id for completion in written}

    def _start_of(self, sign: Sign) -> Document:
        """Returns when the attempt began: until the first sign of life, `started` is when it was claimed."""
        return {"started": as_date(self._clock.at(sign.began))} if sign.began else {}

    def progress(self, signs: Sequence[Sign]) -> None:
        """Writes signs of life with the progress that came with them; that of a child keeps its parent alive."""
        writes = []
        for sign in signs:
            update: Document = {"$currentDate": {"alive": True}}
            if sign.progress or sign.began:
                update["$set"] = {**sign.progress, **self._start_of(sign)}
            # a job that is about to commit would conflict with it
            held = {**sign.fence.filter(), "committing.attempt": {"$ne": sign.fence.attempt}}
            writes.append(UpdateOne(held, update, hint=BY_ID))
            if sign.parent is not None:
                running = {"_id": sign.parent, "status": int(Status.PROCESSING), "committing": {"$exists": False}}
                moved = ("alive", "child_alive") if sign.of_job else ("alive",)
                writes.append(UpdateOne(running, {"$currentDate": dict.fromkeys(moved, True)}, hint=BY_ID))
        self._prompt.bulk_write(writes, ordered=False)


def _pending(job: Mapping[str, Any] | None) -> tuple[str, ...]:
    effects = (job or {}).get("pending")
    return tuple(map(str, effects)) if isinstance(effects, list) else ()
