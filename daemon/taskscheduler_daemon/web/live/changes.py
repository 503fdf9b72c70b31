"""What live views know of one change, and how it is read from an event of the stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from taskscheduler.event_names import FLOW_EVENTS, PROGRESS, STATUS_EVENTS
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.options import CONTROLS, FLOWS, SCHEDULES
from taskscheduler.model.sound import is_text, sound_job
from taskscheduler.store.change_events import ChangeEvent, changes
from taskscheduler.store.web.live_changes import time_of

JOB, FLOW, SCHEDULE, SETTING = "job", "flow", "schedule", "setting"

_KINDS = {FLOWS: FLOW, SCHEDULES: SCHEDULE, CONTROLS: SETTING}

_LONGEST_MESSAGE = 500  #: characters; the job has all of it


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `token` is the place behind it; two changes of one write have the same one."""

    token: str
    kind: str  #: job, flow, schedule or setting
    event: str  #: the name of the event, such as `done` or `progress`; `flow_running`; `changed` for other kinds
    id: str
    at: datetime | None
    job: str = ""  #: the class of a job, the name of a flow
    queue: str = ""
    status: str = ""
    attempt: int = 0
    progress: float | None = None
    message: str | None = None
    node: str | None = None
    worker: str | None = None
    flow: str | None = None  #: the flow that a job belongs to


def changes_of(event: Mapping[str, Any]) -> list[Change]:
    """Returns the changes in an event of the stream: none if listeners do not hear of it."""
    document = dict(event)
    kind = _KINDS.get(document.get("ns", {}).get("coll", ""), JOB)
    if kind == JOB:
        return [_job(document, change) for change in changes(document)]
    return [_flow(document) if kind == FLOW else _other(document, kind)]


def _job(event: dict[str, Any], change: ChangeEvent) -> Change:
    job = sound_job(change.document)
    message, flow = job.get("message"), job.get("flow")
    return Change(
        token=event["_id"]["_data"],
        kind=JOB,
        event=PROGRESS if change.progress else STATUS_EVENTS[change.status],
        id=id_text(change.document["_id"]),
        at=_at(event),
        job=job.get("class", ""),
        queue=job.get("queue", ""),
        status=change.status.label,
        attempt=job["attempt"],
        progress=job.get("progress"),
        message=None if message is None else message[:_LONGEST_MESSAGE],
        node=job.get("node"),
        worker=job.get("worker"),
        flow=None if flow is None else id_text(flow),
    )


def _flow(event: dict[str, Any]) -> Change:
    flow = event.get("fullDocument") or {}
    status = event.get("updateDescription", {}).get("updatedFields", {}).get("status", flow.get("status"))
    name, status = flow.get("name"), status if is_text(status) else ""
    return Change(
        token=event["_id"]["_data"],
        kind=FLOW,
        event=FLOW_EVENTS.get(status, "flow_running"),
        id=id_text(event["documentKey"]["_id"]),
        at=_at(event),
        job=str(name) if is_text(name) else "",
        status=status,
    )


def _other(event: dict[str, Any], kind: str) -> Change:
    return Change(event["_id"]["_data"], kind, "changed", id_text(event.get("documentKey", {}).get("_id")), _at(event))


def _at(event: dict[str, Any]) -> datetime | None:
    seconds = time_of(event)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def latest(found: Iterable[Change]) -> list[Change]:
    """Returns the last change of each thing, in their order: what a view that looks once a second has to show."""
    last: dict[tuple[str, str], Change] = {}
    for change in found:
        last.pop((change.kind, change.id), None)
        last[change.kind, change.id] = change
    return list(last.values())
