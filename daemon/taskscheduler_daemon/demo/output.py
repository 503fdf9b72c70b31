"""Says in one line what happened to a job, and prints such lines where the output is not a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.event_names import GAP
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.demo.plan import ABOUT
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import error_line, state
from taskscheduler_daemon.presentation.terminal import say


class EventOutput(Protocol):
    """Shows what happens in the demo."""

    def say(self, *lines: str) -> None:
        """Prints lines about the demo itself."""
        ...

    def event(self, name: str, process: Process) -> None:
        """Shows that a job has changed its status."""
        ...

    def show(self, jobs: Sequence[Process], runs: str) -> None:
        """Shows all jobs as they are now; `runs` describes the earlier runs of the recurring one."""
        ...

    def summary(self, lines: Sequence[str]) -> None:
        """Shows the summary, when all jobs that end by themselves have ended."""
        ...

    def close(self) -> None:
        """Leaves the screen as it is."""
        ...


class PlainOutput:
    """Prints one line per event."""

    def say(self, *lines: str) -> None:
        """Prints the lines."""
        for line in lines:
            say(clean(line))

    def event(self, name: str, process: Process) -> None:
        """Prints the event."""
        self.say(event_line(name, process, fancy=False))

    def show(self, jobs: Sequence[Process], runs: str) -> None:
        """Prints nothing: each change was printed as an event."""

    def summary(self, lines: Sequence[str]) -> None:
        """Prints the summary."""
        self.say("", *lines)

    def close(self) -> None:
        """Does nothing."""


def event_line(name: str, process: Process, fancy: bool) -> str:
    """Returns a line such as `12:00:03  CopyFile        ✓ done        64 MB copied`."""
    time = f"{SYSTEM_CLOCK.now().astimezone():%H:%M:%S}"
    if name == GAP:
        return f"{time}  {process.message}"
    return f"{time}  {process.job:<14}  {padded(state(process.status, fancy))}  {clean(_happened(process))}".rstrip()


def padded(text: str) -> str:
    """Returns a state as wide as the longest one; an hourglass takes two columns."""
    return text + " " * (12 - len(text) - ("⌛" in text))


def _happened(process: Process) -> str:
    """Returns what an event is about; the job may have changed again since."""
    if process.status is Status.PROCESSING:
        return f"try {process.attempt}" if process.attempt > 1 else ""
    if process.status is Status.WAITING:
        return error(process) or ABOUT.get(process.job, "")
    return note(process)


def note(process: Process) -> str:
    """Returns what matters about a job now."""
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
    """Returns what went wrong, without the module of the exception."""
    kind, colon, message = error_line(process.error).partition(":")
    return kind.rpartition(".")[2] + colon + message


def due(process: Process) -> str:
    """Returns when a postponed job starts."""
    if process.at is None:
        return "later"
    left = (process.at - SYSTEM_CLOCK.now()).total_seconds()
    return f"in {brief(max(1.0, round(left)))}" if left > 0 else "now"
