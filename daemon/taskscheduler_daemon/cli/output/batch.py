"""Applies one operation to several jobs and prints the results, also when only some of the jobs allow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode, exit_code
from taskscheduler_daemon.cli.input.ids import JobId, resolve_all
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import LOOKS, record, state
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

Operation = Callable[[Scheduler, JobId], Process]


def apply_to_all(settings: Settings, given: Sequence[str], operation: Operation) -> int:
    """Applies an operation to each job and prints the job afterwards; a job that refuses it does not stop the others.

    Returns FAILED if some jobs refused, and the code of the worst refusal if all did.
    """
    done: list[Process] = []
    refusals: list[ExitCode] = []
    with open_database(settings) as database:
        for job_id in resolve_all(given, database.job_lists.recent_ids):
            try:
                done.append(operation(database.scheduler, job_id))
            except (InvalidStateError, JobNotFoundError) as error:
                remark(f"taskscheduler: {error}")
                refusals.append(exit_code(error))
    if done or settings.form() == "json":
        _print(settings, done)
    if not refusals:
        return ExitCode.OK
    return ExitCode.FAILED if done else max(refusals)


def _print(settings: Settings, jobs: Sequence[Process]) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(job) for job in jobs]))
        return
    if form == "tsv":
        say(tsv(("ID", "STATE")))
    for job in jobs:
        if form == "table":
            say(f"{job.id_text}  {settings.paint(state(job.status, settings.fancy), LOOKS[job.status].color)}")
        elif form == "tsv":
            say(tsv((job.id_text, job.status.label)))
        else:
            say(json_line(record(job)) if form == "ndjson" else job.id_text)
