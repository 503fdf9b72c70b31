"""Decides what a command that is given several jobs does when only some can be treated, and how it prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bson import ObjectId

from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.exit_codes import ExitCode, exit_code
from taskscheduler_daemon.cli.input.ids import resolve_all
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import LOOKS, record, state
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

Treatment = Callable[[Scheduler, ObjectId], Process]


def treat_all(settings: Settings, given: Sequence[str], treat: Treatment) -> int:
    """Treat each job that is named and print what came of it; one that cannot be does not stop the others."""
    done: list[Process] = []
    refusals: list[ExitCode] = []
    with opened(settings) as database:
        for job_id in resolve_all(given, database.job_lists.recent_ids):
            try:
                done.append(treat(database.scheduler, job_id))
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
        say(json_pretty([record(job) for job in jobs]))
        return
    if form == "tsv":
        say(tsv(("ID", "STATE")))
    for job in jobs:
        if form == "table":
            say(f"{job.id}  {settings.paint(state(job.status, settings.fancy), LOOKS[job.status].color)}")
        elif form == "tsv":
            say(tsv((job.id, job.status.label)))
        else:
            say(json_line(record(job)) if form == "ndjson" else str(job.id))
