"""The words of the filter language that the filter bar completes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from taskscheduler.model.filters.keys import KEYS, KINDS, STATUSES
from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.truncate import line

MOST = 200  #: values of one key

_ABOUT = {
    "status": "failed, live, ended …",
    "class": "the name of a job, Mail*",
    "queue": "mail",
    "tag": "nightly",
    "error": "SMTP*: its type or text",
    "created": ">-2h, <2026-11-21",
    "started": ">-2h",
    "ended": ">-2h",
    "at": "when it is due: <1h",
    "attempt": ">2",
    "data": "data.user.id:42",
    "kind": "service, program, solo",
    "id": "one or some, with commas",
    "fingerprint": "of a mistake",
}

router = APIRouter(include_in_schema=False)


@router.get("/jobs/words")
def words(request: Request) -> dict[str, Any]:
    """Returns the keys with what they mean, and known values of some of them."""
    context = context_of(request)
    nodes = context.overview.nodes()
    names = {name for node in nodes for name in node.get("jobs") or () if isinstance(name, str)}
    with translated():
        queues = set(context.scheduler.store.claims.queues())
    queues |= {name for node in nodes for name in node.get("queues") or () if isinstance(name, str)}
    values = {
        "status": list(STATUSES),
        "kind": list(KINDS),
        "class": _few(names),
        "queue": _few(queues),
        "node": _few({str(node.get("name")) for node in nodes}),
    }
    keys = [[name, _ABOUT.get(name, "")] for name in KEYS]
    return {"keys": [*keys, ["data.", _ABOUT["data"]]], "values": values}


def _few(names: set[str]) -> list[str]:
    return [name for name in sorted(names) if line(name, 200) == name][:MOST]
