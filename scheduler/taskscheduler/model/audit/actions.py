"""The actions that people take, and the least role that may take each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import near_miss


class Role(IntEnum):
    """What somebody may do; each role may also do what the ones before it may."""

    VIEWER = 0  #: reads everything, changes nothing
    OPERATOR = 1  #: keeps what is there going: cancels, retries, pauses, resumes, signals
    ADMIN = 2  #: also adds, deletes and sets limits

    @property
    def label(self) -> str:
        """Its name in options and documents."""
        return self.name.lower()

    @classmethod
    def of(cls, name: str, value: object) -> Role:
        """Returns the role of this name; InvalidOptionError, which names the option, if there is none."""
        if isinstance(value, cls):
            return value
        for role in cls:
            if role.label == value:
                return role
        known = [role.label for role in cls]
        raise InvalidOptionError(
            f"option {name} must be one of {', '.join(known)}, not {value!r:.60}{near_miss(str(value), known)}"
        )


_OPERATOR = (
    "flow.cancel", "flow.retry",
    "job.cancel", "job.retry", "job.signal", "job.update",
    "jobs.cancel", "jobs.restore", "jobs.retry",
    "node.drain",
    "pause", "programs.end_silent", "resume",
    "schedule.backfill", "schedule.pause", "schedule.resume", "schedule.run",
    "sequence.release",
    "service.restart", "service.send", "service.stop",
)  # fmt: skip

_ADMIN = (
    "flow.add",
    "group.delete", "group.set",
    "job.add", "job.delete", "job.rewrite",
    "jobs.add", "jobs.delete", "jobs.delete_old", "jobs.flush", "jobs.rewrite",
    "limit.delete", "limit.set",
    "schedule.add", "schedule.delete",
    "service.start",
)  # fmt: skip

#: the least role for each action; `rewrite` is a retry or an update with other data, which is as good as a job of one's
#: own
ACTIONS: Mapping[str, Role] = {
    **dict.fromkeys(_OPERATOR, Role.OPERATOR),
    **dict.fromkeys(_ADMIN, Role.ADMIN),
}

#: what is written down besides: somebody logs in or out of the web pages, or sends a request that no role of theirs may
SESSION_ACTIONS = ("login", "logout", "request")


def may(role: Role, action: str) -> bool:
    """Returns whether a role may take an action; an unknown one is for nobody."""
    least = ACTIONS.get(action)
    return least is not None and role >= least


def matching(name: str) -> list[str]:
    """Returns the actions that a filter names: one of them, all of a kind such as `job`, or a verb such as `cancel`.

    InvalidOptionError if there is none.
    """
    known = [*ACTIONS, *SESSION_ACTIONS]
    found = [action for action in known if name in (action, *action.split("."))]
    if not found:
        parts = sorted({part for action in known for part in (action, *action.split("."))})
        raise InvalidOptionError(
            f"option what must be an action such as job.cancel, limit or delete, not {name!r:.60}"
            f"{near_miss(name, parts)}"
        )
    return found
