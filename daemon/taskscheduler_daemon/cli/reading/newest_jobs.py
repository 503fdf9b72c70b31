"""Finds the newest jobs that match, by indexes: for `taskscheduler list` and for assistants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.model.document import Document
from taskscheduler.model.filters.expression import Filter, all_of
from taskscheduler.model.lifecycle import LIVE, UNSUCCESSFUL, Status
from taskscheduler.operations.selections.batches import Selected
from taskscheduler.store.job_lists import by_id
from taskscheduler.store.selections.search import wanted
from taskscheduler.store.web.job_pages import JobPages
from taskscheduler_daemon.cli.database import OpenDatabase


def query_of(
    status: Sequence[Status], job: str | None, queue: str | None, tags: Sequence[str], everything: bool
) -> dict[str, Any]:
    """Returns the query for jobs in these statuses, of this class and queue, with one of these tags."""
    query: dict[str, Any] = {"class": job, "queue": queue, "tags": {"$in": list(tags)} if tags else None}
    statuses = status or (() if everything else tuple(LIVE))
    if statuses:
        query["status"] = {"$in": sorted(int(one) for one in statuses)}
    return {name: value for name, value in query.items() if value is not None}


def searches(database: OpenDatabase, query: dict[str, Any], chosen: Filter, slow: bool) -> list[dict[str, Any]]:
    """Returns the queries that find the jobs of an expression by indexes. InvalidOptionError if none does."""
    store = database.scheduler.store
    return Selected(all_of([query, chosen.query(store.clock.now())]), slow, repr(str(chosen))).searches(store)


def newest(database: OpenDatabase, queries: Sequence[dict[str, Any]], limit: int) -> list[Document]:
    """Returns the newest jobs that match one of these queries."""
    if not all(map(_passes_over_many, queries)):
        return database.job_lists.recent_of(queries, limit)
    store = database.scheduler.store
    pages = JobPages(store.database, store.options, store.on_demand)
    found = {job["_id"]: job for query in queries for job in pages.newest(query, limit)}
    return sorted(found.values(), key=by_id, reverse=True)[:limit]


def _passes_over_many(query: Mapping[str, Any]) -> bool:
    """Whether an index finds more jobs than match, so that they are searched in parts: failed ones of a queue."""
    statuses = wanted(query) or LIVE
    return statuses <= UNSUCCESSFUL and len(query) > 1
