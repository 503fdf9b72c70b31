"""The log on the page of a job: its newest lines, and all of them as a text."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from taskscheduler.model.logs.lines import GAP, LOG, LogLine
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.log import source
from taskscheduler_daemon.web.http.context import WebContext, context_of

SHOWN = 200  #: lines

_LONGEST = 4000  #: characters of a line

_LEVELS = ("WARNING", "ERROR")

_COLORS = {"WARNING": "amber", "ERROR": "red", "CRITICAL": "red", "stderr": "quiet", GAP: "quiet"}

router = APIRouter(include_in_schema=False)


def log_view(context: WebContext, job: Process, attempt: str, level: str) -> dict[str, Any] | None:
    """Returns what the template shows of the log of a job; None if it has none."""
    logs = context.scheduler.logs
    attempts = logs.attempts(job.id_text)
    if not attempts:
        return None
    number = int(attempt) if attempt.isdecimal() and len(attempt) < 9 and int(attempt) in attempts else None
    least = level if level in _LEVELS else ""
    page = logs.page(job.id_text, number, limit=SHOWN, newest_first=True)
    return {
        "attempts": attempts,
        "attempt": number,
        "levels": _LEVELS,
        "level": least,
        "earlier": page.next is not None,
        "lines": [_shown(line) for line in reversed(page.lines) if _is_of(line, least)],
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


@router.get("/jobs/{identifier}/log.txt")
def download(request: Request, identifier: str, attempt: str = "") -> Response:
    """Answers the whole log, or that of one attempt, as a text file."""
    context = context_of(request)
    job = context.job(identifier)
    number = int(attempt) if attempt.isdecimal() and 0 < len(attempt) < 9 and int(attempt) else None
    lines = context.scheduler.logs.lines(job.id_text, number)
    name = f'attachment; filename="{job.id}.log"' if job.id_text.isalnum() else "attachment"
    return StreamingResponse(
        _text(lines), media_type="text/plain; charset=utf-8", headers={"Content-Disposition": name}
    )


def _text(lines: Iterator[LogLine]) -> Iterator[str]:
    for line in lines:
        yield str(line).encode(errors="replace").decode() + "\n"
