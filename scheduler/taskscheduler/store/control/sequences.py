"""Sequences: jobs that run one at a time, in the order in which they were added.

Each job has a `turn` while it is live, and after a failure with `sequence_on_failure="block"`. The one with the lowest
turn may run. Turns are given by a counter in the database, so that one program sees its own order kept; it never falls
behind the microseconds of the server's clock, so that it may be forgotten when nobody has used it for a while.

Each index of the jobs costs each write a little, so the one of sequences is made with the first turn of a database:
first the index, then the collection of the counters, then the turn. So where there are no counters there is no job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bson import MinKey, ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import DEAD_LETTERS
from taskscheduler.model.options import SEQUENCES, SchedulerOptions
from taskscheduler.store.indexes.definitions import ON_DEMAND, TURN_ORDER
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import ensure_indexes, has_sequences

_INDEXES = [IndexModel([("used", ASCENDING)], name="retention", expireAfterSeconds=3600)]

_INDEX = "sequence"

_NO_SUCH_HINT = 2  #: also the code of other bad values

_BLOCKING = {"$in": sorted(map(int, DEAD_LETTERS))}

MOST_LISTED = 1000  #: blocked sequences, and jobs of one that wait

_AT_ONCE = 100  #: sequences whose jobs one question counts

_BULKY = dict.fromkeys(("data", "result", "attempts", "error"), 0)

_SHOWN = dict.fromkeys(("sequence", "turn", "class", "status", "ended", "error"), 1)


class SequenceStore:
    """The sequences of one database."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._counters: Collection[Document] = database[SEQUENCES]
        self.is_ensured = False  #: whether what sequences need is there, as far as that is known

    def ensure(self) -> None:
        """Makes what sequences need, if it is not there. To call before a job gets a turn in another way than here."""
        if not self.is_ensured:
            ensure_indexes(self._jobs.database, self._jobs.name, [ON_DEMAND[_INDEX]])
            ensure_indexes(self._counters.database, SEQUENCES, _INDEXES)
            self.is_ensured = True

    def turns(self, name: str, count: int) -> int:
        """Returns the first of so many new turns, which follow each other."""
        self.ensure()
        clock = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
        known = {"$cond": [{"$isNumber": "$last"}, "$last", 0]}
        change = [{"$set": {"last": {"$add": [{"$max": [known, clock]}, count]}, "used": "$$NOW"}}]
        found: Any = self._counters.find_one_and_update(
            {"_id": name}, change, {"last": 1}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return int(found["last"]) - count + 1

    def number(self, documents: Sequence[Document]) -> None:
        """Gives each of these new jobs that belongs to a sequence its turn, in their order."""
        by_name: dict[str, list[Document]] = {}
        for document in documents:
            if "sequence" in document:
                by_name.setdefault(document["sequence"], []).append(document)
        for name, jobs in by_name.items():
            first = self.turns(name, len(jobs))
            for number, job in enumerate(jobs):
                job["turn"] = first + number

    def head(self, name: str) -> Document | None:
        """Returns the job whose turn it is."""
        query = {"sequence": name, "turn": {"$exists": True}}
        return next(iter(self._found(query, _BULKY, 1)), None)

    def blocked(self, most: int) -> list[Document]:
        """Returns the ended jobs that block their sequence, so many at most.

        The server skips from one sequence to the next, and looks at the first job of each.
        """
        firsts = {name: {"$first": f"${name}"} for name in _SHOWN if name != "sequence"}
        stages: list[Document] = [
            {"$match": {"sequence": {"$gt": ""}, "turn": {"$gte": MinKey()}}},
            {"$sort": dict(TURN_ORDER)},
            {"$group": {"_id": "$sequence", "job": {"$first": "$_id"}, **firsts}},
            {"$match": {"status": _BLOCKING}},
            {"$sort": {"_id": 1}},
            {"$limit": most},
            {"$project": {"_id": "$job", "sequence": "$_id", **dict.fromkeys(firsts, 1)}},
        ]
        try:
            return read(self._jobs, lambda jobs: jobs.aggregate(stages, hint=_INDEX))
        except OperationFailure as error:
            return self._none_if_unused(error)

    def blocking(self, name: str) -> Document | None:
        """Returns the ended job that blocks a sequence; None if none does."""
        query = {"sequence": name, "turn": {"$exists": True}, "status": _BLOCKING}
        return next(iter(self._found(query, _SHOWN, 1)), None)

    def waiting(self, names: Sequence[str]) -> Counter[str]:
        """Returns how many jobs of each of these blocked sequences come after the first one, 1000 at most."""
        found = Counter[str]()
        for start in range(0, len(names), _AT_ONCE):
            first, *others = [_counting(name) for name in names[start : start + _AT_ONCE]]
            stages = [*first, *({"$unionWith": {"coll": self._jobs.name, "pipeline": other}} for other in others)]
            found.update({one["_id"]: int(one["jobs"]) for one in self._aggregated(stages)})
        return found

    def _aggregated(self, stages: Sequence[Document]) -> list[Document]:
        return read(self._jobs, lambda jobs: jobs.aggregate(list(stages)))

    def _found(self, query: Document, fields: Mapping[str, int], most: int) -> list[Document]:
        try:
            return read(self._jobs, lambda jobs: jobs.find(query, fields).sort(TURN_ORDER).hint(_INDEX).limit(most))
        except OperationFailure as error:
            return self._none_if_unused(error)

    def _none_if_unused(self, error: OperationFailure) -> list[Document]:
        """Returns nothing if the index of sequences is not there since nobody has used one; else raises the error."""
        if error.code != _NO_SUCH_HINT or has_sequences(self._jobs.database):
            raise error  # somebody dropped the index, and nodes make it again
        return []

    def release(self, job_id: ObjectId) -> bool:
        """Lets the others of its sequence pass an ended job; returns whether it was in their way."""
        query = {"_id": job_id, "turn": {"$exists": True}, "status": _BLOCKING}
        return self._jobs.update_one(query, {"$unset": {"turn": ""}}).modified_count == 1


def _counting(name: str) -> list[Document]:
    """Returns the stages that count the jobs of a sequence behind its first one, under its name, by keys alone."""
    query: Document = {"sequence": name, "turn": {"$gte": 0}}
    return [
        {"$match": as_stored(query)},
        {"$limit": MOST_LISTED + 1},
        {"$group": {"_id": {"$literal": name}, "jobs": {"$sum": 1}}},
        {"$set": {"jobs": {"$subtract": ["$jobs", 1]}}},
    ]
