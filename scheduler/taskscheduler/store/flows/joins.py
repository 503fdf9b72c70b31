"""Finds out whether joins are complete, and lets out or cancels the jobs that come after them.

Every write names the list in which the job still waits, so that it changes nothing when it is repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import UpdateMany, UpdateOne
from pymongo.collection import Collection

from taskscheduler.clock import ServerClock
from taskscheduler.model.control.keys import CONTROL_FIELDS, PARKED_FIELDS
from taskscheduler.model.control.reasons import MOST_COUNTED
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import FALLEN, join_key, join_of
from taskscheduler.model.lifecycle import UNSUCCESSFUL, Status, Transition, target
from taskscheduler.model.sound import is_number, sound, status_of
from taskscheduler.store.attempts.bad_ends import cancel_update
from taskscheduler.store.control_updates import own_list
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.lenient_reads import ONLY_ID, read, read_ids, read_one

_AT_ONCE = 50  #: joins that one command asks about

_FEW = 3  #: joins about which single commands ask

_MANY = 50  #: joins of which most are of one job, as a sweep finds them

_ENDED_BADLY = {"$in": sorted(map(int, UNSUCCESSFUL))}

#: what has to be known of a job to let it out
_FIELDS: Document = {
    **dict.fromkeys((*CONTROL_FIELDS, "queue", "class", "priority", "blocked", "parked_at", "async", "attempt"), 1),
    **dict.fromkeys(("options.force_spawn", "options.start_by"), 1),
    "inputs": {"$slice": 1},
}


class Broken(NamedTuple):
    """A join that is never complete, and a member that is why."""

    join: ObjectId
    member: Document


class Joins:
    """The joins of the jobs of flows."""

    def __init__(self, collection: Collection[Document], clock: ServerClock, lease: float) -> None:
        self._jobs = collection
        self._clock = clock
        self._lease = lease

    def due_among(self, jobs: Sequence[Document]) -> list[Document]:
        """Returns those of these jobs that may begin as soon as the join is complete that they wait for."""
        now = self._clock.now()
        return [job for job in jobs if sound(job, "parked_at", now) <= now and not _is_limited(job)]

    def incomplete(self, joins: Iterable[ObjectId]) -> set[ObjectId]:
        """Returns those of these joins that still wait for a job."""
        asked = list(dict.fromkeys(joins))
        if len(asked) <= _FEW:
            return {join for join in asked if self._waits(join)}
        alone = self._alone(asked)
        return {*alone, *(found["join"] for found in self._first_members(_but(asked, alone), {}, {}))}

    def _waits(self, join: ObjectId) -> bool:
        query = {"open": join}
        return read_one(self._jobs, lambda jobs: jobs.find_one(query, ONLY_ID, hint="open")) is not None

    def _alone(self, joins: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        """Returns those of many joins that are of one job and still wait for it, with this job.

        Such a join has the id of its job. To ask about each by itself costs the server 20 times as much, and a flow of
        ten thousand jobs has as many.
        """
        if len(joins) <= _MANY:
            return {}
        query = {"_id": {"$in": list(joins)}, "open": {"$exists": True}}
        fields = dict.fromkeys(("open", "label", "class", "status"), 1)
        found = read(self._jobs, lambda jobs: jobs.find(query, fields))
        return {job["_id"]: job for job in found if isinstance(job["open"], list) and job["_id"] in job["open"]}

    def _first_members(
        self, joins: Sequence[ObjectId], condition: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> list[Document]:
        """Returns for each of these joins, as `join`, these fields of one job that it waits for, if one matches."""
        found = list[Document]()
        for start in range(0, len(joins), _AT_ONCE):
            first, *others = [_one_of(join, condition, fields) for join in joins[start : start + _AT_ONCE]]
            stages = [*first, *({"$unionWith": {"coll": self._jobs.name, "pipeline": other}} for other in others)]
            found += read(self._jobs, lambda jobs: jobs.aggregate(stages, hint="open"))  # noqa: B023
        return found

    def left_of(self, join: ObjectId) -> tuple[int, Document | None]:
        """Returns for how many jobs a join still waits, up to MOST_COUNTED + 1, and one of them that is live."""
        left = self._jobs.count_documents({"open": join}, hint="open", limit=MOST_COUNTED + 1)
        fields = {"label": 1, "class": 1, "status": 1}
        found = read(
            self._jobs,
            lambda jobs: jobs.find({"open": join}, fields).hint("open").sort([("status", -1), ("_id", 1)]).limit(1),
        )
        return left, found[0] if found else None

    def broken(self, joins: Iterable[ObjectId]) -> list[Broken]:
        """Returns those of these joins that wait for a job that has ended badly, each with one such job."""
        asked, fields = list(joins), dict.fromkeys(("label", "class", "status"), 1)
        alone = self._alone(asked)
        members = self._first_members(_but(asked, alone), {"status": _ENDED_BADLY}, fields)
        ended = [Broken(join, job) for join, job in alone.items() if status_of(job) in UNSUCCESSFUL]
        return ended + [Broken(member["join"], member) for member in members]

    def waiting_behind(self, after: str, limit: int) -> list[str]:
        """Returns the lists of some jobs that wait for joins, those behind this one, in order; the last one too."""
        query = {"blocked": {"$gt": after, "$lt": "flow;"}, "parked_at": {"$exists": True}}  # ; comes after :
        fields = {"blocked": 1, "_id": 0}
        found = read(self._jobs, lambda jobs: jobs.find(query, fields).sort("blocked", 1).hint("blocked").limit(limit))
        return list(dict.fromkeys(str(job["blocked"]) for job in found if join_of(job["blocked"]) is not None))

    def dependents(self, joins: Iterable[ObjectId], limit: int) -> list[Document]:
        """Returns jobs that wait for these joins, without their data, and of what they take only whether they do."""
        query = {"blocked": {"$in": [join_key(join) for join in joins]}, "parked_at": {"$exists": True}}
        query["status"] = from_statuses(Transition.UNPARK)
        return read(self._jobs, lambda jobs: jobs.find(query, _FIELDS).hint("blocked").limit(limit))

    def with_data(self, jobs: Sequence[Document]) -> list[Document]:
        """Returns these jobs with their data and what they take, as far as they still wait."""
        query = {"_id": {"$in": [job["_id"] for job in jobs]}, "parked_at": {"$exists": True}}
        fields = {"data": 1, "inputs": 1, "on_failure": 1, "blocked": 1, "class": 1}
        return read(self._jobs, lambda jobs: jobs.find(query, fields))

    # -- out of the lists ----------------------------------------------------------------------------------------------

    def let_wait(self, jobs: Sequence[Document], data: Mapping[ObjectId, Any]) -> int:
        """Has due jobs without controls wait for a slot, with these data if there are any; returns how many."""
        writes: list[UpdateMany | UpdateOne] = [
            UpdateOne(_still_waiting([job]), _out({"data": data[job["_id"]]})) for job in jobs if job["_id"] in data
        ]
        if plain := [job for job in jobs if job["_id"] not in data]:
            writes.append(UpdateMany(_still_waiting(plain), _out({})))
        return self._jobs.bulk_write(writes, ordered=False).modified_count

    def leave_to_controls(self, jobs: Sequence[Document]) -> int:
        """Moves due jobs under controls to the lists of those; returns how many."""
        return self._jobs.update_many(_still_waiting(jobs), [{"$set": {"blocked": own_list()}}]).modified_count

    def let_out_later(self, jobs: Sequence[Document]) -> int:
        """Has jobs that are not due yet, or have to begin in time, wait as others do; returns how many."""
        due: Document = {"$lte": ["$parked_at", "$$NOW"]}
        is_limited = {"$isNumber": "$options.start_by"}
        until = {"$add": [{"$max": ["$parked_at", "$$NOW"]}, {"$multiply": ["$options.start_by", 1000]}]}
        stage: Document = {
            "status": {"$cond": [due, int(target(Transition.UNPARK)), int(target(Transition.POSTPONE))]},
            "at": "$parked_at",
            "alive": "$$NOW",
            "expires": {"$cond": [is_limited, until, {"$ifNull": ["$expires", "$$REMOVE"]}]},
        }
        update: list[Document] = [{"$set": stage}, {"$unset": [*PARKED_FIELDS]}]
        return self._jobs.update_many(_still_waiting(jobs), update).modified_count

    def give_data(self, data: Mapping[ObjectId, Any]) -> None:
        """Puts results into the data of jobs that still wait."""
        writes = [
            UpdateOne({"_id": job_id, "parked_at": {"$exists": True}}, [{"$set": {"data": {"$literal": value}}}])
            for job_id, value in data.items()
        ]
        if writes:
            self._jobs.bulk_write(writes, ordered=False)

    def cancel(self, jobs: Sequence[Document], reason: str) -> list[Document]:
        """Cancels jobs that wait for a join; returns those that are cancelled now."""
        update = [*cancel_update(self._lease, reason), {"$set": {FALLEN: True}}]
        changed = self._jobs.update_many(_still_waiting(jobs), update).modified_count
        if changed == len(jobs):
            return list(jobs)
        query = {"_id": {"$in": [job["_id"] for job in jobs]}, "status": int(Status.CANCELED), "pending": "flow"}
        cancelled = set(read_ids(self._jobs, lambda jobs: jobs.find(query, {"_id": 1})))
        return [job for job in jobs if job["_id"] in cancelled]


def _but(joins: Iterable[ObjectId], others: Mapping[ObjectId, Document]) -> list[ObjectId]:
    return [join for join in joins if join not in others]


def _one_of(join: ObjectId, condition: Mapping[str, Any], fields: Mapping[str, Any]) -> list[Document]:
    """Returns the stages that find one job for which a join waits."""
    shown = {"join": {"$literal": join}, **fields} if fields else {"_id": 0, "join": {"$literal": join}}
    return [{"$match": {"open": join, **condition}}, {"$limit": 1}, {"$project": shown}]


def _out(values: Mapping[str, Any]) -> Document:
    return {
        "$set": {"status": int(target(Transition.UNPARK)), **values},
        "$rename": {"parked_at": "at"},
        "$unset": {"blocked": ""},
        "$currentDate": {"alive": True},
    }


def _still_waiting(jobs: Sequence[Document]) -> Document:
    """Matches these jobs as long as each waits for one of the joins that they wait for."""
    return {
        "_id": {"$in": [job["_id"] for job in jobs]},
        "blocked": {"$in": list(dict.fromkeys(job["blocked"] for job in jobs))},
        "status": from_statuses(Transition.UNPARK),
        "parked_at": {"$exists": True},
    }


def _is_limited(job: Mapping[str, Any]) -> bool:
    """Whether a job has to begin within a time that counts from when it may."""
    return is_number(sound(job, "options", {}).get("start_by"))
