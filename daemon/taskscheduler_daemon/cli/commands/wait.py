"""taskscheduler wait: shows jobs until they have ended; its exit code says how they ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Protocol

import click
from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Deadline
from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import OpenDatabase, open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.ids import resolve_all
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.output.progress_bars import ProgressBars
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import note, record
from taskscheduler_daemon.presentation.node import UP, node_state, serves
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


@cli_command("wait", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--timeout", type=DURATION, help="Give up after this long, with exit code 124.")
def command(settings: Settings, job_ids: Sequence[str], timeout: float | None) -> int:
    with open_database(settings) as database:
        return watch(settings, database, resolve_all(job_ids, database.job_lists.recent_ids), timeout)


def watch(
    settings: Settings, database: OpenDatabase, ids: Sequence[ObjectId], timeout: float | None, form: str | None = None
) -> int:
    """Shows the jobs until all have ended; returns the exit code. With a `form`, their ids were printed before."""
    bars = settings.form() == "table" and settings.terminal
    if bars:
        _warn_of_unserved_queues(database, _read(database, ids))
    view: WaitView = (
        ProgressBars(settings) if bars else LineOutput(form or settings.form(), ids_printed=form is not None)
    )
    try:
        with closing(view):
            jobs = _until_ended(database, ids, view, Deadline(timeout))
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
    database: OpenDatabase, ids: Sequence[ObjectId], view: WaitView, deadline: Deadline
) -> Sequence[Process]:
    """Returns the jobs as they are when all have ended or the deadline has passed."""
    pause = threading.Event()
    while True:
        jobs = _read(database, ids)
        view.update(jobs)
        if deadline.passed or all(job.status.is_final for job in jobs):
            return jobs
        pause.wait(deadline.left(_POLL))


def _warn_of_unserved_queues(database: OpenDatabase, jobs: Sequence[Process]) -> None:
    """Warns, before the wait, of waiting jobs that no node would run."""
    nodes = [node for node in database.overview.nodes() if node_state(node) == UP]
    queues = {job.options["queue"] for job in jobs if job.status is Status.WAITING}
    for queue in sorted(queue for queue in queues if not any(serves(node, queue) for node in nodes)):
        remark(
            f"taskscheduler: no node that is up serves the queue {queue}; start one: taskscheduler node --jobs MODULE"
        )


def _print_failures(jobs: Sequence[Process]) -> None:
    """Prints why jobs failed, as only their ids have been printed so far."""
    for job in jobs:
        if (failure := error_for_status(job)) is not None:
            remark(f"taskscheduler: {failure}")


def _read(database: OpenDatabase, ids: Sequence[ObjectId]) -> list[Process]:
    found = database.job_lists.progress_of(ids)
    for job_id in ids:
        if job_id not in found:
            raise JobNotFoundError(job_id)
    return [Process(database.scheduler, found[job_id]) for job_id in ids]


class LineOutput:
    """Prints a line for each change, where the output is not a terminal; JSON is one list at the end."""

    def __init__(self, form: str, ids_printed: bool = False) -> None:
        self._form = form
        self._ids_printed = ids_printed
        self._seen: dict[ObjectId, tuple[object, ...]] = {}
        self._jobs: Sequence[Process] = ()
        if self._form in ("tsv", "table"):
            say(tsv(("TIME", "ID", "JOB", "STATE", "NOTE")))

    def update(self, jobs: Sequence[Process]) -> None:
        """Prints the jobs that have changed."""
        self._jobs = jobs
        for job in jobs:
            now = (job.status, job.attempt, job.progress, job.message)
            if self._seen.get(job.id) != now:
                self._seen[job.id] = now
                self._print(job)

    def _print(self, job: Process) -> None:
        if self._form in ("tsv", "table"):
            now = SYSTEM_CLOCK.now()
            say(tsv((iso(now), job.id, job.job, job.status.label, note(job, now))))
        elif self._form == "ndjson":
            say(json_line(record(job)))
        elif self._form == "id" and job.status.is_final and not self._ids_printed:
            say(str(job.id))

    def close(self) -> None:
        """Prints the list, if it is JSON."""
        if self._form == "json":
            say_lines(json_pretty([record(job) for job in self._jobs]))
