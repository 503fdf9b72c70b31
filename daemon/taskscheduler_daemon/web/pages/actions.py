"""The actions that pages offer on a job, and their texts before and after."""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.operations.audit.acting import may_act
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.kinds import is_service


class Action(NamedTuple):
    """An action that a person may take on a job."""

    name: str  #: in the address
    label: str
    done: str  #: shown afterwards
    warning: str  #: shown before
    ended: bool | None  #: whether it is for jobs that have ended, or for all others, also in a status that is none

    def allows(self, job: Process) -> bool:
        """Returns whether the status of a job allows this action."""
        return self.ended is None or self.ended is job.status.is_final


_ORDINARY = {
    "cancel": Action(
        "cancel",
        "cancel",
        "The job is cancelled.",
        "A waiting job never starts. A running job is killed at once, with everything it started. "
        "Later runs of the same series are cancelled, too.",
        False,
    ),
    "retry": Action(
        "retry",
        "retry",
        "The job will run once more.",
        "It runs once more with the same data, as another attempt of the same job.",
        True,
    ),
    "delete": Action(
        "delete",
        "delete",
        "The job is deleted.",
        "The job is removed with its data, result and attempts. If it has not ended, it is cancelled first. "
        "This cannot be undone.",
        None,
    ),
}

ACTIONS = frozenset(_ORDINARY)

_SERVICE = {
    **_ORDINARY,
    "cancel": Action(
        "cancel",
        "stop",
        "The service stops as soon as its process has ended.",
        "The service is asked to stop, and killed if it does not. It stays stopped until somebody starts it.",
        False,
    ),
    "retry": Action(
        "retry",
        "start",
        "The service will start.",
        "A node starts it again as it is defined, and keeps it running.",
        True,
    ),
}

#: without a retry, as no node can run a program
_PROGRAM = {
    "cancel": Action(
        "cancel",
        "cancel",
        "The record is cancelled; its program learns this at its next sign of life.",
        "No node runs this program, so none can kill it. It learns of this at its next sign of life, and should end "
        "then. A command that `taskscheduler exec` runs is ended.",
        False,
    ),
    "delete": Action(
        "delete",
        "delete",
        "The job is deleted.",
        "The record is removed with its fields and result. A program that still runs learns this at its next sign of "
        "life. This cannot be undone.",
        None,
    ),
}


def actions_of(job: Process) -> dict[str, Action]:
    """Returns the actions for this kind of job, in whatever status it is."""
    return _PROGRAM if job.program else _SERVICE if is_service(job) else _ORDINARY


def noun(job: Process) -> str:
    """Returns the word for this kind of job."""
    return "record" if job.program else "service" if is_service(job) else "job"


def offered(job: Process) -> list[Action]:
    """Returns the actions that the status of the job allows, and the role of who looks at it."""
    return [action for action in actions_of(job).values() if action.allows(job) and may_act(f"job.{action.name}")]


def done_text(name: str, job: Process | None = None) -> str:
    """Returns what was done, by the name of the action in the address; never a text from the address itself."""
    action = (_ORDINARY if job is None else actions_of(job)).get(name)
    return "" if action is None else action.done
