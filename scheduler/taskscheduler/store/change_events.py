"""Selects change events by pipelines, and reads the changes of a job from an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import COMMITTED, COMMITTED_MANY, Document
from taskscheduler.model.lifecycle import FINAL, QUEUED, Status
from taskscheduler.model.options import CONTROLS, SCHEDULES
from taskscheduler.model.sound import status_of

_ENDED = sorted(map(int, FINAL))


def message_pipeline(job_store: str, job_queue: str) -> list[Document]:
    """Selects what wakes nodes, from the stream of a whole database: messages, new jobs with `wake`, and settings.

    A job has `wake` if its process has woken no nodes lately. They see its insert, so it has no message unless it is
    urgent. A setting needs no message: nodes see the change itself, whatever becomes of the process that made it.
    Messages about jobs that are being stored are for nodes that do not follow the stream.
    Jobs and schedules that are added in a transaction have no message: nodes see `wake` and `woken` when it commits.
    """
    waking = {"$in": [True, COMMITTED, COMMITTED_MANY]}
    woken = {"ns.coll": job_store, "operationType": "insert", "fullDocument.wake": waking}
    messages = {"ns.coll": job_queue, "operationType": {"$ne": "delete"}, "fullDocument.jobs": {"$ne": []}}
    changed = {"ns.coll": CONTROLS}
    added = [{f"{part}.woken": {"$exists": True}} for part in ("fullDocument", "updateDescription.updatedFields")]
    scheduled = {"ns.coll": SCHEDULES, "$or": added}
    job = ("_id", "queue", "status", "options.force_spawn", "async", "wake", "blocked", "parent")
    message = ("jobs", "queues", "later", "forced", "rearmed", "stop", "schedules", "rates", "groups", "urgent")
    parts = {f"fullDocument.{part}": 1 for part in (*job, *message)}
    fields: Document = {"operationType": 1, "documentKey": 1, "ns.coll": 1, **parts}
    fields["fullDocument.schedules"] = {"$cond": [{"$eq": ["$ns.coll", SCHEDULES]}, True, "$fullDocument.schedules"]}
    return [{"$match": {"$or": [messages, woken, changed, scheduled]}}, {"$project": fields}]


def is_setting(event: Mapping[str, Any]) -> bool:
    """Returns whether an event is about what people have set for the whole cluster."""
    return bool(event.get("ns", {}).get("coll") == CONTROLS)


def status_pipeline(
    query: Mapping[str, Any] | None = None,
    ids: Sequence[ObjectId] | None = None,
    progress: bool = False,
    ends: bool = False,
) -> list[Document]:
    """Selects changes of status, of these ids or of jobs that match `query` with their new status.

    With `progress` the progress and messages of running jobs, too; with `ends` only how jobs end.
    """
    updated = "updateDescription.updatedFields"
    status: Document = {f"{updated}.status": {"$in": _ENDED} if ends else {"$exists": True}}
    others = [{f"{updated}.{field}": {"$exists": True}} for field in ("progress", "message")] if progress else []
    stages: list[Document] = [
        {
            "$match": {
                **({"documentKey._id": {"$in": list(ids)}} if ids is not None else {}),
                "$or": [
                    {"operationType": "insert"},
                    status,
                    *others,
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
    """Turns a query on job documents into one on change events."""
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
    progress: bool = False  #: only the progress or message of the job changed
    requeued: bool = False  #: it had ended, and was put back into the queue


def changes(event: Document) -> list[ChangeEvent]:
    """Reads the changes in one event; for a job that is queued again, the end of its attempt comes first.

    A job that was handed back unstarted has not changed for those who listen: its attempt goes on elsewhere.
    """
    if is_unstarted(event) or event["operationType"] not in ("insert", "update", "replace"):
        return []
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    document = {**(event.get("fullDocument") or {}), "_id": event["documentKey"]["_id"]}
    current = ("status", "attempt", "progress", "message", "error", "ended", "at", "attempts", "rearmed")
    document |= {key: updated[key] for key in current if key in updated}
    if "status" not in document:
        return []
    if event["operationType"] == "update" and "status" not in updated and "rearmed" not in updated:
        return [ChangeEvent(status_of(document), document, progress=True)]
    found = []
    attempt, ending = _end_of_attempt(updated.get("rearmed"))
    if attempt:
        document["attempt"] = attempt
        if ending is not None:
            found.append(ChangeEvent(ending, {**document, "status": int(ending)}))
    elif _was_promoted(event):
        document["attempt"] -= 1
    status = status_of(document)
    found.append(ChangeEvent(status, document, requeued=status in QUEUED and "ended" in updated))
    return found


def _end_of_attempt(rearmed: Any) -> tuple[int, Status | None]:
    """Reads the end of an attempt from the field `rearmed`, such as `2:failed`; 0 if the field says something else.

    One without a status was lost or handed back.
    """
    if not isinstance(rearmed, str):
        return 0, None
    attempt, _, ending = rearmed.partition(":")
    status = next((status for status in Status if status.label == ending), None)
    return int(attempt) if attempt.isdecimal() else 0, status


def _was_promoted(event: Document) -> bool:
    """Returns whether a job became due, and was claimed already when its document was read."""
    updated, full = event.get("updateDescription", {}).get("updatedFields", {}), event.get("fullDocument") or {}
    became_due = updated.get("status") == Status.WAITING and "ended" not in updated and "attempt" not in updated
    attempt = full.get("attempt")
    return became_due and full.get("status") != Status.WAITING and isinstance(attempt, int) and attempt > 0


def is_unstarted(event: Document) -> bool:
    """Returns whether a job was handed back before it began: only that takes back the number of an attempt."""
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    return updated.get("status") == Status.WAITING and "attempt" in updated


def changed_document(event: Document) -> Document:
    """Returns the job of an event with the status that the event gave it, as queries of listeners see it."""
    full = event.get("fullDocument") or {}
    status = event.get("updateDescription", {}).get("updatedFields", {}).get("status", full.get("status"))
    return {**full, "_id": event.get("documentKey", {}).get("_id"), "status": status}


#: selects the ends of flows, from the stream of their collection
END_OF_FLOW: list[Document] = [
    {"$match": {"operationType": "update", "updateDescription.updatedFields.ended": {"$exists": True}}}
]


def ended_flow(event: Mapping[str, Any]) -> Document:
    """Returns a flow as it was when it ended: it may have been retried or deleted since."""
    now = event.get("fullDocument") or {"_id": event["documentKey"]["_id"]}
    changed = event["updateDescription"]["updatedFields"]
    return {**now, **{name: changed[name] for name in ("status", "ended", "counts", "expires") if name in changed}}
