"""The route of the audit log: who did what, when, on what, why, and what came of it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from bson import ObjectId
from fastapi import APIRouter, Query, Request, Response

from taskscheduler.model.audit.entries import OUTCOMES, AuditEntry
from taskscheduler_daemon.presentation.text import iso, json_line, local
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row

PAGE = 50  #: entries

_LOOKS = {"done": ("done", "✓"), "failed": ("failed", "✗"), "refused": ("timeout", "!"), "begun": ("waiting", "○")}

Text = Annotated[str, Query(max_length=500)]

router = APIRouter(include_in_schema=False)


@router.get("/audit")
def audit(
    request: Request, who: Text = "", what: Text = "", target: Text = "", outcome: str = "", before: str = ""
) -> Response:
    """Shows what people have done, the newest first, a page at a time."""
    context = context_of(request)
    asked = {"who": who, "what": what, "target": target, "outcome": outcome, "before": before}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value}
    with refusing_bad_input():
        found = context.scheduler.audit.entries(**given, limit=PAGE + 1)
    filters = {name: value for name, value in given.items() if name != "before"}
    last = found[PAGE - 1].id if len(found) > PAGE else None
    older = {**filters, "before": str(last)}
    return page(
        context,
        "audit.html",
        place="audit",
        entries=[entry_row(one) for one in found[:PAGE]],
        outcomes=OUTCOMES,
        given={name: line(value, 300) for name, value in asked.items()},
        filtered=bool(filters),
        older=urlencode(older, errors="replace") if isinstance(last, ObjectId) else "",
        newest=urlencode(filters, errors="replace") if before else None,
    )


def entry_row(entry: AuditEntry) -> Row:
    """Returns what somebody has done."""
    name, sign = _LOOKS.get(entry.outcome, ("canceled", "?"))
    facts = [f"{key} {value if isinstance(value, str) else json_line(value)}" for key, value in entry.facts.items()]
    return {
        "at": local(entry.at),
        "iso": iso(entry.at),
        "who": line(entry.who, 120),
        "via": line(" ".join(part for part in (entry.role, entry.via, entry.address) if part), 120),
        "what": line(entry.what, 80),
        "target": line(entry.target or "", 200),
        "job": entry.target if entry.what.startswith("job.") and ObjectId.is_valid(entry.target or "") else "",
        "facts": line("; ".join(facts), 500),
        "count": "" if entry.count is None else str(entry.count),
        "reason": line(entry.reason or "", 500),
        "status": {"name": name, "sign": sign, "text": line(entry.outcome, 40)},
        "error": line(entry.error or "", 300),
        "more": entry.more,
    }
