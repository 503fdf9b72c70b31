"""What a change event says about a job; the pipelines that select events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status


def message_pipeline(job_store: str, job_queue: str) -> list[Document]:
    """What wakes nodes, on a whole database: messages, and jobs whose adder has sent no message lately.

    Such a job is seen as soon as it is stored; its message, which follows, comes a write later.
    """
    woken = {"ns.coll": job_store, "operationType": "insert", "fullDocument.wake": True}
    messages = {"ns.coll": job_queue, "operationType": {"$ne": "delete"}}
    job = ("_id", "queue", "status", "options.force_spawn", "async", "wake")
    message = ("jobs", "queues", "later", "forced", "rearmed", "stop")
    fields = {"operationType": 1, "documentKey": 1, **{f"fullDocument.{part}": 1 for part in (*job, *message)}}
    return [{"$match": {"$or": [messages, woken]}}, {"$project": fields}]


def status_pipeline(
    query: Mapping[str, Any] | None = None, ids: Sequence[ObjectId] | None = None, progress: bool = False
) -> list[Document]:
    """Only changes of a status, of these ids or of jobs that match `query` with the status that they change to.

    With `progress` also what running jobs say about how far they are.
    """
    fields = ("status", "progress", "message") if progress else ("status",)
    stages: list[Document] = [
        {
            "$match": {
                **({"documentKey._id": {"$in": list(ids)}} if ids is not None else {}),
                "$or": [
                    {"operationType": "insert"},
                    *({f"updateDescription.updatedFields.{field}": {"$exists": True}} for field in fields),
                    {"operationType": {"$in": ["drop", "rename", "invalidate"]}},
                ],
            }
        }
    ]
    if query:
        changed = {"$ifNull": ["$updateDescription.updatedFields.status", "$fullDocument.status"]}
        stages.append({"$set": {"fullDocument.status": changed}})
        stages.append({"$match": _about_full_document(query)})
    return stages


def _about_full_document(query: Mapping[str, Any]) -> Document:
    """A query on job documents as a query on change events."""
    result: Document = {}
    for key, value in query.items():
        if key in ("$and", "$or", "$nor"):
            result[key] = [_about_full_document(part) for part in value]
        elif key.startswith("$"):
            raise InvalidOptionError(f"{key} cannot be used in the query of listen(); name fields of the job instead")
        elif key == "_id" or key.startswith("_id."):
            result["documentKey." + key] = value
        else:
            result["fullDocument." + key] = value
    return result


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One change of status, as listeners get it."""

    status: Status
    document: Document  #: the job, with the status of this change
    progress: bool = False  #: the status is the same: the job has only said how far it is


def changes(event: Document) -> list[ChangeEvent]:
    """The changes in one event: a re-armed job first tells how its attempt ended, then what it is now."""
    if event["operationType"] not in ("insert", "update", "replace"):
        return []
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    document = {**(event.get("fullDocument") or {}), "_id": event["documentKey"]["_id"]}
    told = ("status", "attempt", "progress", "message", "error", "ended")
    document |= {key: updated[key] for key in told if key in updated}
    if "status" not in document:
        return []
    if event["operationType"] == "update" and "status" not in updated and "rearmed" not in updated:
        return [ChangeEvent(Status(document["status"]), document, progress=True)]
    found = []
    if "rearmed" in updated:
        attempt, _, ending = updated["rearmed"].partition(":")
        if ending:
            status = Status[ending.upper()]
            found.append(ChangeEvent(status, {**document, "status": int(status), "attempt": int(attempt)}))
    found.append(ChangeEvent(Status(document["status"]), document))
    return found
