"""taskscheduler wait: shows jobs until they have ended; its exit code says how they ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Protocol

import click

from taskscheduler.clock import SYSTEM_CLOCK, Deadline
from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.unserved import PATIENCE, reasons
from taskscheduler.process import Process
from taskscheduler.validation import job_id as checked_id
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import OpenDatabase, open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.ids import JobId, resolve_all
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.output.progress_bars import ProgressBars
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import note, record
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import iso, json_line, json_pretty, tsv

_POLL = 0.5

HELP = """Wait until jobs have ended.

ID may be the last 5 or more digits of the id of a recent job. Exit code 0 if all jobs are done, 1 if one failed, timed
out or was cancelled, 124 if they did not end in time.
"""


class WaitView(Protocol):
    """Shows the jobs that a command waits for."""

    def update(self, jobs: Sequence[Process]) -> None:
        """Shows the jobs as they are now."""
        ...

    def close(self) -> None:
        """Ends the output."""
        ...


@cli_command("wait", example="taskscheduler wait 6d0ede69 --timeout 10m", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--timeout", type=DURATION, help="Give up after this long, with exit code 124.")
def command(settings: Settings, job_ids: Sequence[str], timeout: float | None) -> int:
    with open_database(settings) as database:
        return watch(settings, database, resolve_all(job_ids, database.job_lists.recent_ids), timeout)


def watch(
    settings: Settings, database: OpenDatabase, ids: Sequence[JobId], timeout: float | None, form: str | None = None
) -> int:
    """Shows the jobs until all have ended; returns the exit code. With a `form`, their ids were printed before."""
    bars = settings.form() == "table" and settings.terminal
    view: WaitView = (
        ProgressBars(settings) if bars else LineOutput(form or settings.form(), ids_printed=form is not None)
    )
    try:
        with closing(view):
            jobs = _until_ended(database, ids, view, Deadline(timeout), hint_at_end=bars)
    except KeyboardInterrupt:
        remark("taskscheduler: jobs that have not ended go on; stop them with: taskscheduler cancel ID")
        raise
    left = sum(not job.status.is_final for job in jobs)
    if left:
        remark(f"taskscheduler: {left} of {len(jobs)} jobs have not ended within {brief(timeout or 0)}; they go on")
        return ExitCode.TIMED_OUT
    if form == "id":
        _print_failures(jobs)
    return ExitCode.OK if all(job.status is Status.DONE for job in jobs) else ExitCode.FAILED


def _until_ended(
    database: OpenDatabase, ids: Sequence[JobId], view: WaitView, deadline: Deadline, hint_at_end: bool
) -> Sequence[Process]:
    """Returns the jobs as they are when all have ended or the deadline has passed.

    Says after some patience if no node would run them; `hint_at_end`: also if the deadline passes before.
    """
    pause, patience, told = threading.Event(), Deadline(PATIENCE), False
    while True:
        jobs = _read(database, ids)
        view.update(jobs)
        if all(job.status.is_final for job in jobs):
            return jobs
        if not told and (patience.passed or (hint_at_end and deadline.passed)):
            told = True
            _say_what_is_unserved(database, jobs)
        if deadline.passed:
            return jobs
        pause.wait(deadline.left(_POLL))


def _say_what_is_unserved(database: OpenDatabase, jobs: Sequence[Process]) -> None:
    """Says, once, which of the jobs no node would run."""
    for reason in reasons(database.scheduler.store, [job.id for job in jobs if job.status is Status.WAITING]):
        remark(f"taskscheduler: {reason}")


def _print_failures(jobs: Sequence[Process]) -> None:
    """Prints why jobs failed, as only their ids have been printed so far."""
    for job in jobs:
        if (failure := error_for_status(job)) is not None:
            remark(f"taskscheduler: {failure}")


def _read(database: OpenDatabase, ids: Sequence[JobId]) -> list[Process]:
    documents = database.job_lists.progress_of([checked_id(job_id) for job_id in ids])
    found = {job.id_text: job for job in (Process(database.scheduler, document) for document in documents)}
    for job_id in ids:
        if str(job_id) not in found:
            raise JobNotFoundError(job_id)
    return [found[str(job_id)] for job_id in ids]


class LineOutput:
    """Prints a line for each change, where the output is not a terminal; JSON is one list at the end."""

    def __init__(self, form: str, ids_printed: bool = False) -> None:
        self._form = form
        self._ids_printed = ids_printed
        self._seen: dict[Process, tuple[object, ...]] = {}
        self._jobs: Sequence[Process] = ()
        if self._form in ("tsv", "table"):
            say(tsv(("TIME", "ID", "JOB", "STATE", "NOTE")))

    def update(self, jobs: Sequence[Process]) -> None:
        """Prints the jobs that have changed."""
        self._jobs = jobs
        for job in jobs:
            now = (job.status, job.attempt, job.progress, job.message)
            if self._seen.get(job) != now:
                self._seen[job] = now
                self._print(job)

    def _print(self, job: Process) -> None:
        if self._form in ("tsv", "table"):
            now = SYSTEM_CLOCK.now()
            say(tsv((iso(now), job.id_text, job.job, job.status.label, note(job, now))))
        elif self._form == "ndjson":
            say(json_line(record(job)))
        elif self._form == "id" and job.status.is_final and not self._ids_printed:
            say(job.id_text)

    def close(self) -> None:
        """Prints the list, if it is JSON."""
        if self._form == "json":
            say_lines(json_pretty([record(job) for job in self._jobs]))
