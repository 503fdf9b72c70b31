"""The actions that people and programs may take on a schedule, and their texts before and after."""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.operations.audit.acting import may_act


class ScheduleAction(NamedTuple):
    """An action on a schedule."""

    name: str  #: in the address
    label: str
    done: str  #: shown afterwards
    warning: str  #: shown before


ACTIONS = {
    "run": ScheduleAction(
        "run",
        "run now",
        "A run was added. It is the newest of the latest runs.",
        "One run is added now, beside the plan: also if the run before has not ended, and also if the schedule is "
        "paused.",
    ),
    "pause": ScheduleAction(
        "pause",
        "pause",
        "The schedule is paused.",
        "No runs are added until somebody resumes it. Runs that were added go on. A schedule stays paused when it is "
        "changed, and when nodes start again.",
    ),
    "resume": ScheduleAction(
        "resume",
        "resume",
        "The schedule runs again.",
        "It runs from its next time on. Times that came while it was paused are not made up for.",
    ),
    "delete": ScheduleAction(
        "delete",
        "delete",
        "The schedule is deleted.",
        "It adds no more runs. Runs that were added stay. This cannot be undone.",
    ),
}


def hindrance(action: str, schedule: Schedule) -> str:
    """Returns why this action is not possible now; empty if it is."""
    if action == "delete":
        is_alive = schedule.owner == "code" and not schedule.undeclared and schedule.fault is None
        return "It belongs to the code, and nodes declare it. Take it out of the code, or pause it." if is_alive else ""
    if schedule.fault is not None:
        return "It cannot be read. Delete it, or add it anew."
    if action == "pause" and schedule.paused:
        return "It is paused already."
    return "It is not paused." if action == "resume" and not schedule.paused else ""


def offered(schedule: Schedule) -> list[ScheduleAction]:
    """Returns the actions that are possible now, and that the role of who looks at it allows."""
    possible = [action for name, action in ACTIONS.items() if not hindrance(name, schedule)]
    return [action for action in possible if may_act(f"schedule.{action.name}")]


def done_text(name: str) -> str:
    """Returns what was done, by the name of the action in the address; never a text from the address itself."""
    return ACTIONS[name].done if name in ACTIONS else ""
