"""taskscheduler listen: prints each event in one line, as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from taskscheduler.clock import Clock
from taskscheduler.event_names import GAP, STATUS_EVENTS
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.parameters import DURATION, STATUS
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import LOOKS, error_line, glyph
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import iso, json_line, tsv

COLUMNS = ("TIME", "EVENT", "ID", "JOB", "ATTEMPT", "NODE", "NOTE")

HELP = """Follow all status changes, one line each, until Ctrl-C or --timeout.

With -o json, each line is an object.
"""


@cli_command("listen", example="taskscheduler listen --status failed --status timeout", help=HELP)
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option("--status", type=STATUS, multiple=True, help="Only changes to this status; repeatable.")
@click.option("--timeout", type=DURATION, help="Stop after this long.")
def command(settings: Settings, job: str | None, status: Sequence[Status], timeout: float | None) -> None:
    query: dict[str, object] = {"class": job} if job else {}
    if status:
        query["status"] = {"$in": sorted(int(one) for one in status)}
    with open_database(settings) as database:
        printer = EventPrinter(settings, database.scheduler.store.clock)
        database.scheduler.on(GAP, lambda _, notice: printer.gap(notice))
        database.scheduler.listen(printer.event, query, timeout)


class EventPrinter:
    """Prints events in the form that was asked for."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._form = settings.form()
        if self._form == "tsv":
            say(tsv(COLUMNS))

    def event(self, job: Process) -> None:
        """Prints one status change."""
        event, now = STATUS_EVENTS[job.status], self._clock.now()
        if self._form == "id":
            say(job.id_text)
        elif self._form in ("json", "ndjson"):
            fields = {"time": now, "event": event, "_id": job.id, "class": job.job, "attempt": job.attempt}
            say(json_line({**fields, "node": job.node, "error": _error(job) or None}))
        elif self._form == "tsv":
            say(tsv((iso(now), event, job.id_text, job.job, job.attempt or "", job.node or "", _error(job))))
        else:
            say(self._line(event, job, now))

    def _line(self, event: str, job: Process, now: datetime) -> str:
        label = f"{glyph(job.status, self._settings.fancy)} {event:<10}"
        attempt = f"  #{job.attempt}" if job.attempt else ""
        where = f"  {job.node}" if job.node else ""
        error = f"  {_error(job)}" if _error(job) else ""
        rest = clean(f"{job.id_text}  {job.job}{attempt}{where}{error}")
        return f"{now.astimezone():%H:%M:%S}  {self._settings.paint(label, LOOKS[job.status].color)}  {rest}"

    def gap(self, notice: Process) -> None:
        """Prints that events were lost; the jobs that may have changed follow."""
        remark(f"taskscheduler: {clean(notice.message or 'events were lost')}; current states follow")


def _error(job: Process) -> str:
    return error_line(job.error) if job.status in (Status.FAILED, Status.TIMEOUT) else ""
