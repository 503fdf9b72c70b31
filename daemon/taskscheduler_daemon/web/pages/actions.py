"""Decides what a person may do with a job, and what the pages say before and after it."""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.model.lifecycle import FINAL, LIVE, Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.kinds import is_service


class Action(NamedTuple):
    """What a person may do with a job."""

    name: str  #: in the address
    label: str
    said: str  #: after it was done
    warning: str
    allowed: frozenset[Status]


_ORDINARY = {
    "cancel": Action(
        "cancel",
        "cancel",
        "The job is cancelled.",
        "If it waits, it never starts. If it runs, it is killed at once, with everything it started. "
        "Runs of the same series that would follow are cancelled, too.",
        LIVE,
    ),
    "retry": Action(
        "retry",
        "retry",
        "The job will run once more.",
        "It runs once more with the same data, as a further attempt of the same job.",
        FINAL,
    ),
    "delete": Action(
        "delete",
        "delete",
        "The job is deleted.",
        "The job is removed with its data, result and attempts. If it has not ended, it is cancelled first. "
        "This cannot be undone.",
        frozenset(Status),
    ),
}

ACTIONS = frozenset(_ORDINARY)

_SERVICE = {
    **_ORDINARY,
    "cancel": Action(
        "cancel",
        "stop",
        "The service is stopped, as soon as its process is gone.",
        "It is asked to stop, is killed if it does not, and is not started again until somebody starts it.",
        LIVE,
    ),
    "retry": Action(
        "retry",
        "start",
        "The service will be started.",
        "It is started again as it is defined, and kept running.",
        FINAL,
    ),
}

#: without a retry: no node can run a program
_PROGRAM = {
    "cancel": Action(
        "cancel",
        "cancel",
        "The record is cancelled; its program is told at its next sign of life.",
        "No node runs this program, so none can kill it: it is told at its next sign of life, and should end then. "
        "A command that `taskscheduler exec` runs is ended.",
        LIVE,
    ),
    "delete": Action(
        "delete",
        "delete",
        "The job is deleted.",
        "The record is removed with its fields and result. If its program still runs, it is told so at its next sign "
        "of life. This cannot be undone.",
        frozenset(Status),
    ),
}


def actions_of(job: Process) -> dict[str, Action]:
    """The actions that make sense for what the job is, whatever it does now."""
    return _PROGRAM if job.program else _SERVICE if is_service(job) else _ORDINARY


def noun(job: Process) -> str:
    """What the job is called when somebody is asked about it."""
    return "record" if job.program else "service" if is_service(job) else "job"


def offered(job: Process) -> list[Action]:
    """What can be done with the job now."""
    return [action for action in actions_of(job).values() if job.status in action.allowed]


def done(name: str, job: Process | None = None) -> str:
    """What was done, by its name in the address; never a text out of the address."""
    action = (_ORDINARY if job is None else actions_of(job)).get(name)
    return "" if action is None else action.said
