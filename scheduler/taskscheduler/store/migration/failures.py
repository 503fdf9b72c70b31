"""Gives fingerprints to jobs that version 0.1.0 has failed, and takes away those that became wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson import MaxKey, MinKey
from pymongo import UpdateOne
from pymongo.collection import Collection

from taskscheduler.model.document import Document
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.lenient import as_stored, has_unreadable
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status
from taskscheduler.model.sound import sound
from taskscheduler.store.lenient_reads import ONLY_ID, each, read_ids, undecoded
from taskscheduler.store.migration.steps import BATCH, MAX_TIME_MS, PARKED_INDEX, has_index, serves

_FAILURES = "failures"

_NAMELESS: Document = {"fingerprint": {"$exists": False}}

#: whoever retried it with version 0.1.0 has left it the fingerprint of the failure before
_STALE: Document = {"fingerprint": {"$exists": True}, "status": int(Status.DONE)}

_FIELDS = dict.fromkeys(("class", "status", "ended", "error.type", "error.place"), 1)


class NamelessFailures:
    """Gives each a fingerprint of its class and the type of its exception: the place in the code is not stored."""

    def __init__(self, jobs: Collection[Document]) -> None:
        self._jobs = jobs

    def found(self) -> str:
        """Says whether there are any. It looks only if a program of version 0.1.0 has connected."""
        if not has_index(self._jobs, PARKED_INDEX):
            return ""
        nameless = any(self._page(status, MaxKey(), 1) for status in DEAD_LETTERS)
        stale = serves(self._jobs, _FAILURES) and bool(self._stale(1))
        return "some have none" if nameless else "some that are done have one" if stale else ""

    def take(self) -> Iterator[int]:
        """Writes the fingerprints that are missing, and removes those of jobs that are done."""
        for status in sorted(DEAD_LETTERS):
            yield from self._name_all(status)
        before: list[Any] = []
        while (ids := self._stale(BATCH)) and ids != before:
            before = ids
            stale = as_stored({**_STALE, "_id": {"$in": ids}})
            yield self._jobs.update_many(stale, {"$unset": {"fingerprint": ""}}).modified_count

    def _name_all(self, status: Status) -> Iterator[int]:
        """Goes through the index once; what cannot be changed is left behind."""
        last: Any = MaxKey()
        while page := self._page(status, last, BATCH):
            updates = [UpdateOne(_as_read(job), {"$set": {"fingerprint": _fingerprint(job)}}) for job in page]
            yield self._jobs.bulk_write(updates, ordered=False).modified_count
            if len(page) < BATCH or has_unreadable(last := page[-1]["_id"]):
                break

    def _page(self, status: Status, last: Any, most: int) -> list[Document]:
        """Returns some that have none, from this id on downwards, whatever types the ids have."""
        first, end = {"status": int(status), "_id": last}, {"status": int(status), "_id": MinKey()}
        jobs = undecoded(self._jobs)
        found = each(
            jobs.find(_NAMELESS, _FIELDS, limit=most, max_time_ms=MAX_TIME_MS, hint="unsuccessful", min=first, max=end)
        )
        return list(found)

    def _stale(self, most: int) -> list[Any]:
        return read_ids(
            self._jobs,
            lambda jobs: jobs.find(_STALE, ONLY_ID).hint(_FAILURES).limit(most).max_time_ms(MAX_TIME_MS),
        )


def _as_read(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the query for a failure that nobody has changed since."""
    return as_stored({**_NAMELESS, "_id": {"$eq": job["_id"]}, "status": job["status"], "ended": job.get("ended")})


def _fingerprint(job: Mapping[str, Any]) -> str:
    """Returns the fingerprint that a node would give to a failure without a place."""
    error = job.get("error")
    return fingerprint_of(error if isinstance(error, Mapping) else None, sound(job, "class", ""))
