"""The web service of the audit log, `/api/v1/audit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from taskscheduler.facade.audit import Audit
from taskscheduler.model.audit.entries import AuditEntry
from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler_daemon.presentation.audit import record
from taskscheduler_daemon.web.api.control_forms import Id
from taskscheduler_daemon.web.api.parameters import CHECKED
from taskscheduler_daemon.web.api.records import answer, next_page
from taskscheduler_daemon.web.api.schedule_forms import Date
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

MOST_LISTED = 1000

_PATH = "/api/v1/audit"

router = APIRouter(tags=["audit"], dependencies=CHECKED)


class AuditRecord(BaseModel):
    """What somebody did."""

    id: Id
    at: Date | None
    who: str
    role: str | None
    via: str
    address: str | None
    what: str
    target: str | None
    facts: dict[str, Any]
    reason: str | None
    outcome: str
    count: int | None
    error: str | None
    more: int = Field(description="how many refused attempts like it were left out before it")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to show; an empty value does not matter."""

    who: str = ""
    what: str = ""
    target: str = ""
    outcome: str = ""
    since: str = ""  #: such as 2h
    before: str = ""

    @property
    def given(self) -> dict[str, str]:
        """The values that are not empty, without `before`."""
        names = ("who", "what", "target", "outcome", "since")
        return {name: value for name in names if (value := getattr(self, name))}

    def find(self, audit: Audit, limit: int) -> list[AuditEntry]:
        """Returns the entries, the newest first; answers 400 for wrong values."""
        with refusing_bad_input():
            return audit.entries(
                self.who or None,
                self.what or None,
                self.target or None,
                _seconds(self.since) if self.since else None,
                outcome=self.outcome or None,
                before=self.before or None,
                limit=limit,
            )


def _seconds(text: str) -> float | int:
    try:
        return parse_duration(text)
    except TimeError as error:
        raise HTTPException(400, f"Malformed since: {error}") from None


@router.get(_PATH, response_model=list[AuditRecord], responses=problems(), summary="Who did what")
def list_entries(
    request: Request,
    wanted: Annotated[AuditFilter, Depends()],
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED - 1)] = 100,
) -> Response:
    """Returns what people did, the newest first: of this name, action, target and outcome, since so long ago.

    The header Link has the address of the next page.
    """
    context = context_of(request)
    found = wanted.find(context.scheduler.audit, limit + 1)
    headers = {}
    if found[limit:]:
        more = {**wanted.given, "limit": limit, "before": str(found[limit - 1].id)}
        headers = next_page(f"{context.root}{_PATH}", more)
    return answer([record(entry) for entry in found[:limit]], headers=headers)
