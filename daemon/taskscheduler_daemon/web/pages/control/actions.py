"""The actions that pages ask about before they take them, and their texts before and after."""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.scheduler import Scheduler


class ControlAction(NamedTuple):
    """An action on a limit, a group or a sequence."""

    kind: str  #: of what; in the address
    name: str  #: in the address, too
    warning: str  #: shown before
    missing: str  #: why it was not possible

    def take(self, scheduler: Scheduler, target: str) -> bool:
        """Takes the action; returns whether there was something to do."""
        if self.kind == "limit":
            return scheduler.limits.delete(target)
        if self.kind == "group":
            return scheduler.groups.delete(target)
        return scheduler.sequences.release(target)


DELETE = ControlAction(
    "limit",
    "delete",
    "Its jobs are not limited any more: all of them that wait for a place may start at once.",
    "There is no such limit.",
)

RELEASE = ControlAction(
    "sequence",
    "release",
    "The next job of the sequence runs, although the one before it has failed. The failed job stays as it is.",
    "No failed job blocks this sequence any more.",
)

RESET = ControlAction(
    "group",
    "reset",
    "Its weight is deleted. The group has weight 1 again, as any group that nobody has set.",
    "This group has no weight.",
)

ACTIONS = {(action.kind, action.name): action for action in (DELETE, RESET, RELEASE)}

_DONE = {
    "pause": "Nodes obey within a second. Jobs that run go on.",
    "resume": "Nodes start its jobs again.",
    "limit": "The limit is set. It holds within half a second, also for jobs that wait already.",
    "delete": "The limit is deleted.",
    "group": "The weight is set. Nodes go by it within a second.",
    "reset": "The group has weight 1 again.",
    "release": "The sequence goes on.",
}


def done_text(name: str) -> str:
    """Returns what was done, by the name of the action in the address; never a text from the address itself."""
    return _DONE.get(name, "")
