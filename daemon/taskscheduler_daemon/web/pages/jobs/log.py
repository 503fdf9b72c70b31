"""The log on the page of a job: its newest lines, those that follow while it runs, and all of them as a text."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.logs.lines import GAP, LOG, LogLine
from taskscheduler.operations.logs.reading import LogPage
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.log import source
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.templates import page as rendered

SHOWN = 200  #: lines

_LONGEST = 4000  #: characters of a line

_LEVELS = ("WARNING", "ERROR")

_COLORS = {"WARNING": "amber", "ERROR": "red", "CRITICAL": "red", "stderr": "quiet", GAP: "quiet"}

router = APIRouter(include_in_schema=False)


def log_view(context: WebContext, job: Process, attempt: str, level: str) -> dict[str, Any] | None:
    """Returns what the template shows of the log of a job; None if it has none, and no more lines can follow."""
    attempts = context.scheduler.logs.attempts(job.id_text)
    runs = job.status is Status.PROCESSING and not job.program
    if not attempts and not runs:
        return None
    number = _number(attempt)
    number = number if number in attempts else None
    least = level if level in _LEVELS else ""
    page = _newest(context, job, number)
    return {
        "attempts": attempts,
        "attempt": number,
        "levels": _LEVELS,
        "level": least,
        "earlier": page.next is not None,
        "more": urlencode({"attempt": number or "", "level": least}) if runs else None,
        **_lines(page, least),
    }


def _number(attempt: str) -> int | None:
    return int(attempt) if attempt.isdecimal() and 0 < len(attempt) < 9 and int(attempt) else None


def _newest(context: WebContext, job: Process, attempt: int | None) -> LogPage:
    page = context.scheduler.logs.page(job.id_text, attempt, limit=SHOWN, newest_first=True)
    return LogPage(page.lines[::-1], page.next)


def _lines(page: LogPage, level: str) -> dict[str, Any]:
    """Returns the lines of at least this level, and the place behind all of them."""
    return {
        "at": str(page.lines[-1].cursor) if page.lines else "",
        "lines": [_shown(line) for line in page.lines if _is_of(line, level)],
    }


def _is_of(line: LogLine, level: str) -> bool:
    if not level or line.stream == GAP:
        return True
    number = logging.getLevelNamesMapping().get(line.level or "", 0)
    return line.stream == LOG and number >= logging.getLevelNamesMapping()[level]


def _shown(line: LogLine) -> dict[str, str]:
    name = source(line)
    return {
        "time": f"{line.at.astimezone(UTC):%H:%M:%S}",
        "source": clean(name),
        "text": clean(line.text[:_LONGEST], keep="\n\t"),
        "color": _COLORS.get(name, ""),
    }


@router.get("/jobs/{identifier}/log")
def following_lines(request: Request, identifier: str, attempt: str = "", level: str = "", after: str = "") -> Response:
    """Answers the lines behind those that a page shows, the newest of them if there are many; 204 if there are none."""
    context = context_of(request)
    job, number = context.job(identifier), _number(attempt)
    with refusing_bad_input():
        page = context.scheduler.logs.page(job.id_text, number, after or None, SHOWN)
    if page.next is not None:
        page = _newest(context, job, number)
    if not page.lines:
        return Response(status_code=204)
    return rendered(context, "job_log_lines.html", log=_lines(page, level if level in _LEVELS else ""))


@router.get("/jobs/{identifier}/log.txt")
def download(request: Request, identifier: str, attempt: str = "") -> Response:
    """Answers the whole log, or that of one attempt, as a text file."""
    context = context_of(request)
    job = context.job(identifier)
    lines = context.scheduler.logs.lines(job.id_text, _number(attempt))
    name = f'attachment; filename="{job.id}.log"' if job.id_text.isalnum() else "attachment"
    return StreamingResponse(
        _text(lines), media_type="text/plain; charset=utf-8", headers={"Content-Disposition": name}
    )


def _text(lines: Iterator[LogLine]) -> Iterator[str]:
    for line in lines:
        yield str(line).encode(errors="replace").decode() + "\n"
