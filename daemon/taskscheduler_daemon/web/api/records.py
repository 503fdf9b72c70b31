"""Values as /api/v1 answers them: ids as texts, dates in ISO form and UTC, durations in seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from bson import ObjectId, json_util
from fastapi import Response

from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import is_text
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.text import JSON_OPTIONS, iso

JSON = "application/json"


def answer(value: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answers a value of plain JSON types, ids and dates."""
    return Response(json.dumps(plain(value), allow_nan=False), code, headers, media_type=JSON)


def next_page(path: str, query: Mapping[str, Any]) -> dict[str, str]:
    """Returns the header that leads to the next page; what is None in the query is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return {"Link": f'<{path}?{urlencode(given, errors="replace")}>; rel="next"'}


_AS_THEY_ARE = {str, int, bool, type(None)}


def plain(value: Any) -> Any:
    """Returns a value with ids and dates as texts; what JSON does not know beyond them is as extended JSON has it."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, dict | Mapping):  # a dict is told at once, which saves a tenth of a page of jobs
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, ObjectId):
        return str(value)
    if value is None or isinstance(value, bool | int) or is_text(value):
        return value if not isinstance(value, int) or isinstance(value, bool) else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return stored(value)


def stored(value: Any) -> Any:
    """Returns a value of a user, such as data or a result, in relaxed extended JSON: no type is lost."""
    return json.loads(json_util.dumps(value, json_options=JSON_OPTIONS))


def _id(value: Any) -> str | None:
    return None if value is None else id_text(value)


#: the fields of a job in lists, and how each is read
_READ: Mapping[str, Callable[[Process], Any]] = {
    "id": lambda job: job.id_text,
    "job": lambda job: job.job,
    "status": lambda job: job.status.label,
    "queue": lambda job: _text(job.options.get("queue")),
    "priority": lambda job: _whole(job.options.get("priority")),
    "created": lambda job: job.created,
    "at": lambda job: job.at,
    "started": lambda job: job.started,
    "ended": lambda job: job.ended,
    "alive": lambda job: job.alive,
    "expires": lambda job: job.expires,
    "wait_seconds": lambda job: job.wait_time,
    "run_seconds": lambda job: job.run_time,
    "attempt": lambda job: job.attempt,
    "retries": lambda job: _whole(job.to_dict().get("retries")),
    "lost": lambda job: _whole(job.to_dict().get("lost")),
    "progress": lambda job: job.progress,
    "message": lambda job: job.message,
    "node": lambda job: job.node,
    "worker": lambda job: job.worker,
    "tags": lambda job: job.tags,
    "error": lambda job: error(job.error),
    "fingerprint": lambda job: job.fingerprint,
    "reason": lambda job: job.reason,
    "parent": lambda job: _id(job.parent),
    "series": lambda job: _id(job.series),
    "flow": lambda job: _id(job.to_dict().get("flow")),
    "schedule": lambda job: job.schedule,
    "scheduled_at": lambda job: job.scheduled_at,
    "options": lambda job: plain(job.options),
}

FIELDS = tuple(_READ)


def job_record(job: Process, fields: Iterable[str] = FIELDS) -> dict[str, Any]:
    """Returns a job without its data and result, or some of these fields."""
    return {name: _READ[name](job) for name in fields}


def job_details(job: Process) -> dict[str, Any]:
    """Returns all about a job."""
    return {
        **job_record(job),
        "data": stored(job.data),
        "result": stored(job.result_value),
        "attempts": [attempt_record(one) for one in job.attempts],
        "steps": stored(job.steps),
        "signals": stored(job.signals),
        "fields": stored(job.fields),
    }


def attempt_record(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one attempt of a job. Its status is null if it was lost or handed back."""
    status, pause = attempt["status"], attempt.get("pause")
    return {
        "attempt": attempt["attempt"],
        "status": status.label if isinstance(status, Status) else None,
        **{name: attempt[name] for name in ("claimed", "started", "ended", "node", "worker")},
        "error": error(attempt["error"]),
        "reason": _text(attempt.get("reason")),
        "retried": _text(attempt.get("retried")),
        "pause": pause if isinstance(pause, int | float) and not isinstance(pause, bool) else None,
    }


def error(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Returns an error with its type and message as texts, whatever else it tells."""
    if value is None:
        return None
    told: dict[str, Any] = stored(value)
    return {**told, "type": str(value.get("type", "")), "message": str(value.get("message", ""))}


def _text(value: Any) -> str | None:
    return str(value) if is_text(value) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None
