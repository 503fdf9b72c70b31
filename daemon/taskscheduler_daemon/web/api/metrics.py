"""The web service of metrics, `/api/v1/metrics`: the same records as `taskscheduler metrics -o json`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler_daemon.presentation.durations import parse_at
from taskscheduler_daemon.presentation.metrics import BY, record
from taskscheduler_daemon.web.api.parameters import check_known
from taskscheduler_daemon.web.api.records import answer
from taskscheduler_daemon.web.http.bad_input import ECHO
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

_PATH = "/api/v1/metrics"

_PARAMETERS = {
    "by": "what a record is about: `time`, `job` or `queue`; default: `time`",
    "since": "a duration before now such as `1h30m`, or a date with a time zone; default: `1h`",
    "until": "the same; default: now",
    "step": "the length of a step of time: `5m`, `1h`",
    "job": "only jobs of this class",
    "queue": "only jobs in this queue",
}


class Durations(BaseModel):
    """How long attempts waited or ran, in seconds; null if there are none."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class MetricRecord(BaseModel):
    """Attempts by how they ended: in a step of time (`at`, `seconds`), or of a class or queue (`name`)."""

    at: datetime | None = None
    seconds: int | None = None
    name: str | None = None
    done: int
    failed: int
    timeout: int
    canceled: int
    retried: int
    snoozed: int
    lost: int
    returned: int
    wait: Durations
    run: Durations


router = APIRouter(tags=["metrics"])


@router.get(
    _PATH,
    response_model=list[MetricRecord],
    response_model_exclude_none=True,
    responses=problems(),
    summary="What nodes have counted",
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in _PARAMETERS.items()
        ]
    },
)
def read_metrics(request: Request) -> Response:
    """Returns how many attempts ended, how, and how long they waited and ran, in each step of a time or by name."""
    given = request.query_params
    check_known(given, _PARAMETERS, "parameter")
    by, metrics = given.get("by", "time"), context_of(request).scheduler.metrics
    if by not in BY:
        raise HTTPException(400, f'by must be one of {", ".join(BY)}, not "{by:.{ECHO}}"')
    asked: dict[str, Any] = {name: _moment(name, given[name]) for name in ("since", "until") if name in given}
    asked |= {name: given[name] for name in ("job", "queue") if name in given}
    if "step" in given:
        if by != "time":
            raise HTTPException(400, f"step is for by=time, not for by={by}")
        asked["step"] = _seconds("step", given["step"])
    found = metrics.points(**asked) if by == "time" else metrics.totals(by, limit=1000, **asked)
    return answer([record(one) for one in found])


def _seconds(name: str, text: str) -> float:
    try:
        return parse_duration(text)
    except (TimeError, OverflowError) as error:
        raise HTTPException(400, f"{name}: {error!s:.{ECHO}}") from error


def _moment(name: str, text: str) -> Any:
    """Returns the seconds of a duration, or a date."""
    try:
        return parse_duration(text)
    except (TimeError, OverflowError):
        pass
    try:
        return parse_at(text)
    except TimeError as error:
        raise HTTPException(400, f"{name}: {error!s:.{ECHO}}") from error
