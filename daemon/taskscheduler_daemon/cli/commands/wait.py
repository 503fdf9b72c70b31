"""Decides how `taskscheduler wait` watches jobs until they have ended, and what exit code that gives."""

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
from taskscheduler_daemon.cli.database import Opened, opened
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.ids import resolve_all
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.output.progress_bars import Bars
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import note, record
from taskscheduler_daemon.presentation.node import UP, node_state, serves
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import iso, json_line, json_pretty, tsv

_POLL = 0.5

HELP = """Wait until jobs have ended. An ID may be the last 5 or more digits of a recent one.

Exit code 0 if all are done, 1 if one failed, timed out or was cancelled, 124 if the wait took too long.
"""


class WaitView(Protocol):
    """Whatever shows the jobs that are waited for."""

    def update(self, jobs: Sequence[Process]) -> None:
        """The jobs as they are now."""
        ...

    def close(self) -> None: ...


@cli_command("wait", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--timeout", type=DURATION, help="Give up after so long, with exit code 124.")
def command(settings: Settings, job_ids: Sequence[str], timeout: float | None) -> int:
    with opened(settings) as database:
        return watch(settings, database, resolve_all(job_ids, database.job_lists.recent_ids), timeout)


def watch(
    settings: Settings, database: Opened, ids: Sequence[ObjectId], timeout: float | None, form: str | None = None
) -> int:
    """Show the jobs until all have ended; the exit code. With a `form`, who asks has told their ids already."""
    bars = settings.form() == "table" and settings.terminal
    if bars:
        _say_unserved(database, _look(database, ids))
    view: WaitView = Bars(settings) if bars else Lines(form or settings.form(), told_ids=form is not None)
    try:
        with closing(view):
            jobs = _until_ended(database, ids, view, Deadline(timeout))
    except KeyboardInterrupt:
        remark("taskscheduler: what has not ended goes on; taskscheduler cancel ID stops it")
        raise
    left = sum(not job.status.is_final for job in jobs)
    if left:
        remark(f"taskscheduler: {left} of {len(jobs)} jobs have not ended within {brief(timeout or 0)}; they go on")
        return ExitCode.TIMED_OUT
    if form == "id":
        _tell_failures(jobs)
    return ExitCode.OK if all(job.status is Status.DONE for job in jobs) else ExitCode.FAILED


def _until_ended(database: Opened, ids: Sequence[ObjectId], view: WaitView, deadline: Deadline) -> Sequence[Process]:
    """The jobs as they are when all have ended, or the deadline has passed."""
    pause = threading.Event()
    while True:
        jobs = _look(database, ids)
        view.update(jobs)
        if deadline.passed or all(job.status.is_final for job in jobs):
            return jobs
        pause.wait(deadline.left(_POLL))


def _say_unserved(database: Opened, jobs: Sequence[Process]) -> None:
    """Who waits at a terminal is told at once if that may take for ever."""
    nodes = [node for node in database.overview.nodes() if node_state(node) == UP]
    queues = {job.options["queue"] for job in jobs if job.status is Status.WAITING}
    for queue in sorted(queue for queue in queues if not any(serves(node, queue) for node in nodes)):
        remark(
            f"taskscheduler: no node that is up serves the queue {queue}; start one: taskscheduler node --jobs MODULE"
        )


def _tell_failures(jobs: Sequence[Process]) -> None:
    """Nothing but ids has been said so far."""
    for job in jobs:
        if (failure := error_for_status(job)) is not None:
            remark(f"taskscheduler: {failure}")


def _look(database: Opened, ids: Sequence[ObjectId]) -> list[Process]:
    found = database.job_lists.progress_of(ids)
    for job_id in ids:
        if job_id not in found:
            raise JobNotFoundError(job_id)
    return [Process(database.scheduler, found[job_id]) for job_id in ids]


class Lines:
    """One line for each change, for outputs that are no terminal; JSON is one list at the end."""

    def __init__(self, form: str, told_ids: bool = False) -> None:
        self._form = form
        self._told_ids = told_ids
        self._seen: dict[ObjectId, tuple[object, ...]] = {}
        self._jobs: Sequence[Process] = ()
        if self._form in ("tsv", "table"):
            say(tsv(("TIME", "ID", "JOB", "STATE", "NOTE")))

    def update(self, jobs: Sequence[Process]) -> None:
        self._jobs = jobs
        for job in jobs:
            now = (job.status, job.attempt, job.progress, job.message)
            if self._seen.get(job.id) != now:
                self._seen[job.id] = now
                self._tell(job)

    def _tell(self, job: Process) -> None:
        if self._form in ("tsv", "table"):
            now = SYSTEM_CLOCK.now()
            say(tsv((iso(now), job.id, job.job, job.status.label, note(job, now))))
        elif self._form == "ndjson":
            say(json_line(record(job)))
        elif self._form == "id" and job.status.is_final and not self._told_ids:
            say(str(job.id))

    def close(self) -> None:
        if self._form == "json":
            say(json_pretty([record(job) for job in self._jobs]))
