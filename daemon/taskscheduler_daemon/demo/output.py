"""Decides what is said about a job and about an event, and how that looks where the output is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import click

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.events import GAP
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.demo.plan import ABOUT
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import error_line, state
from taskscheduler_daemon.presentation.text import clean


class EventOutput(Protocol):
    """Where the demo shows what happens."""

    def say(self, *lines: str) -> None:
        """Tell something about the demo itself."""
        ...

    def event(self, name: str, process: Process) -> None:
        """A job has changed its status."""
        ...

    def show(self, jobs: Sequence[Process], runs: str) -> None:
        """How all jobs stand now; `runs` is what there is to say about the earlier runs of the recurring one."""
        ...

    def summary(self, lines: Sequence[str]) -> None:
        """All jobs that end have ended."""
        ...

    def close(self) -> None: ...


class Plain:
    """One line per event."""

    def say(self, *lines: str) -> None:
        for line in lines:
            click.echo(clean(line))

    def event(self, name: str, process: Process) -> None:
        self.say(event_line(name, process, fancy=False))

    def show(self, jobs: Sequence[Process], runs: str) -> None:
        """The events have told it."""

    def summary(self, lines: Sequence[str]) -> None:
        self.say("", *lines)

    def close(self) -> None:
        """Nothing is open."""


def event_line(name: str, process: Process, fancy: bool) -> str:
    """`12:00:03  CopyFile        ✓ done        64 MB copied`"""
    time = f"{SYSTEM_CLOCK.now().astimezone():%H:%M:%S}"
    if name == GAP:
        return f"{time}  {process.message}"
    return f"{time}  {process.job:<14}  {padded(state(process.status, fancy))}  {clean(_happened(process))}".rstrip()


def padded(text: str) -> str:
    """As wide as the longest state; an hourglass takes two columns."""
    return text + " " * (12 - len(text) - ("⌛" in text))


def _happened(process: Process) -> str:
    """What an event is about; more than one may have happened to the job since."""
    if process.status is Status.PROCESSING:
        return f"try {process.attempt}" if process.attempt > 1 else ""
    if process.status is Status.WAITING:
        return error(process) or ABOUT.get(process.job, "")
    return note(process)


def note(process: Process) -> str:
    """What matters about a job now."""
    status, about = process.status, ABOUT.get(process.job, "")
    if status is Status.POSTPONED:
        return due(process) + (f"; {error(process)}" if process.error else f"; {about}")
    if status is Status.FAILED or (status is Status.WAITING and process.error):
        return error(process)
    if status is Status.TIMEOUT:
        return f"killed after {brief(process.options['timeout'])}"
    if status is Status.CANCELED:
        return f"killed at {process.progress:.0f} %" if process.started else "never started"
    return process.message or about


def error(process: Process) -> str:
    """What went wrong, without the module of the exception."""
    kind, colon, message = error_line(process.error).partition(":")
    return kind.rpartition(".")[2] + colon + message


def due(process: Process) -> str:
    """When a postponed job starts."""
    if process.at is None:
        return "later"
    left = (process.at - SYSTEM_CLOCK.now()).total_seconds()
    return f"in {brief(max(1.0, round(left)))}" if left > 0 else "now"
