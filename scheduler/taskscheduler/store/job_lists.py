"""Bounded lists of jobs for tools: recent, newest, by page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.lifecycle import Status

_OWN_INDEX = {Status.WAITING: "claim", Status.POSTPONED: "due"}  #: of a status alone, but not by age


def _created(job: Mapping[str, Any]) -> datetime:
    created = job.get("created")
    return created if isinstance(created, datetime) else job["_id"].generation_time


def _own_index(query: Mapping[str, Any]) -> str | None:
    """The index that has all jobs that a query asks for and nothing else that lives; None if there is none."""
    wanted = _wanted(query)
    if len(wanted) != 1 or "service.name" in query or "program" in query:
        return None
    return _OWN_INDEX.get(min(wanted))


def _id(job: Mapping[str, Any]) -> ObjectId:
    found: ObjectId = job["_id"]
    return found


def _wanted(query: Mapping[str, Any]) -> frozenset[Status]:
    """The statuses that a query names; none if it takes all."""
    wanted = query.get("status")
    return frozenset(Status(one) for one in wanted.get("$in", ())) if isinstance(wanted, Mapping) else frozenset()
