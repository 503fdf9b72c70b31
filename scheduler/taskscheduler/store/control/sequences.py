"""Sequences: jobs that run one at a time, in the order in which they were added.

Each job has a `turn` while it is live, and after a failure with `sequence_on_failure="block"`. The one with the lowest
turn may run. Turns are given by a counter in the database, so that one program sees its own order kept; it never falls
behind the microseconds of the server's clock, so that it may be forgotten when nobody has used it for a while.

Each index of the jobs costs each write a little, so the one of sequences is made with the first turn of a database:
first the index, then the collection of the counters, then the turn. So where there are no counters there is no job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import DEAD_LETTERS
from taskscheduler.model.options import SEQUENCES, SchedulerOptions
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import TURN_ORDER, ensure_indexes, has_sequences, sequence_index

_INDEXES = [IndexModel([("used", ASCENDING)], name="retention", expireAfterSeconds=3600)]

_BY_TURN = sequence_index()

_NO_SUCH_HINT = 2  #: also the code of other bad values

_INDEX = str(_BY_TURN.document["name"])

_BLOCKING = {"$in": sorted(map(int, DEAD_LETTERS))}

MOST_LISTED = 1000  #: blocked sequences, and jobs of one that wait

_BULKY = dict.fromkeys(("data", "result", "attempts", "error"), 0)

_SHOWN = dict.fromkeys(("sequence", "turn", "class", "status", "ended", "error"), 1)


class SequenceStore:
    """The sequences of one database."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._counters: Collection[Document] = database[SEQUENCES]
        self._ensured = False

    def ensure(self) -> None:
        """Makes what sequences need, if it is not there. To call before a job gets a turn in another way than here."""
        if not self._ensured:
            ensure_indexes(self._jobs.database, self._jobs.name, [_BY_TURN])
            ensure_indexes(self._counters.database, SEQUENCES, _INDEXES)
            self._ensured = True

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

    def blocked(self) -> list[Document]:
        """Returns the ended jobs that block their sequence."""
        query = {"turn": {"$exists": True}, "sequence": {"$exists": True}, "status": _BLOCKING}
        return self._found(query, _SHOWN, MOST_LISTED)

    def blocking(self, name: str) -> Document | None:
        """Returns the ended job that blocks a sequence; None if none does."""
        query = {"sequence": name, "turn": {"$exists": True}, "status": _BLOCKING}
        return next(iter(self._found(query, _SHOWN, 1)), None)

    def waiting(self, name: str) -> int:
        """Returns how many live jobs of a blocked sequence there are, besides the one that blocks it."""
        query = {"sequence": name, "turn": {"$exists": True}, "status": {"$not": _BLOCKING}}
        return self._jobs.count_documents(query, hint=_INDEX, limit=MOST_LISTED)

    def _found(self, query: Document, fields: Mapping[str, int], most: int) -> list[Document]:
        """Reads by the index of sequences. If it is not there, nobody has used a sequence, or somebody dropped it."""
        try:
            return read(self._jobs, lambda jobs: jobs.find(query, fields).sort(TURN_ORDER).hint(_INDEX).limit(most))
        except OperationFailure as error:
            if error.code != _NO_SUCH_HINT or has_sequences(self._jobs.database):
                raise  # nodes make it again
            return []

    def release(self, job_id: ObjectId) -> bool:
        """Lets the others of its sequence pass an ended job; returns whether it was in their way."""
        query = {"_id": job_id, "turn": {"$exists": True}, "status": _BLOCKING}
        return self._jobs.update_one(query, {"$unset": {"turn": ""}}).modified_count == 1
