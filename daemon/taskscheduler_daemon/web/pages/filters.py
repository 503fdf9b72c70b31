"""The filter of the list of jobs: its fields in the address, and the query that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from fastapi import HTTPException

from taskscheduler.model.filters.expression import Filter, all_of
from taskscheduler.model.filters.keys import KINDS
from taskscheduler.model.lifecycle import LIVE, UNSUCCESSFUL, Status
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.pages.truncate import line

STATUSES: Mapping[str, frozenset[Status]] = {
    "live": LIVE,
    **{status.label: frozenset({status}) for status in Status},
}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Jobs with these values, each of which may be empty, that are older than the job `before`."""

    status: str = ""
    job: str = ""
    queue: str = ""
    tag: str = ""
    kind: str = ""
    schedule: str = ""
    q: str = ""  #: an expression of the filter language
    before: str = ""

    @property
    def given(self) -> dict[str, str]:
        """The values that are not empty, without `before`."""
        names = ("q", "status", "job", "queue", "tag", "kind", "schedule")
        return {name: value for name in names if (value := getattr(self, name))}

    def query(self, now: datetime) -> dict[str, Any]:
        """Returns the query; answers 400 for a wrong expression, and a status, a kind or an id that does not exist."""
        fields = (("class", self.job), ("queue", self.queue), ("tags", self.tag), ("schedule", self.schedule))
        query: dict[str, Any] = {name: value for name, value in fields if value}
        if self.status:
            if self.status not in STATUSES:
                raise HTTPException(400, f'There is no status "{line(self.status)}"')
            query["status"] = {"$in": sorted(map(int, STATUSES[self.status]))}
        if self.kind:
            if self.kind not in KINDS:
                raise HTTPException(400, f'There is no kind "{line(self.kind)}"')
            query |= KINDS[self.kind]
        if self.before:
            query["_id"] = {"$lt": self.before_id()}
        with refusing_bad_input():
            return all_of([query, Filter.parse(self.q).query(now)])

    def before_id(self) -> ObjectId | None:
        """Returns the id of `before`; answers 400 if it is malformed."""
        if self.before and not ObjectId.is_valid(self.before):
            raise HTTPException(400, f'"{line(self.before)}" is not the id of a job')
        return ObjectId(self.before) if self.before else None

    @property
    def passes_over_many(self) -> bool:
        """Whether an index finds more jobs than match: those of an expression, or failed ones of a class or queue."""
        is_unsuccessful = STATUSES.get(self.status, LIVE) <= UNSUCCESSFUL
        return not self.kind and (bool(self.q) or (bool(self.job or self.queue) and is_unsuccessful))

    @property
    def reads_all(self) -> bool:
        """Whether no index finds the jobs, so that the query would read all of them.

        That is so for done jobs of a class or queue, and for solo jobs and programs unless only running ones are
        wanted. Services, tags and schedules have indexes of their own.
        """
        if self.tag or self.schedule:
            return False
        if self.kind in ("program", "solo"):
            return self.status != Status.PROCESSING.label
        has_name = bool(self.job or self.queue)
        return has_name and self.kind != "service" and Status.DONE in STATUSES.get(self.status, Status)
