"""The names of events, with the names that the seed gave them."""

from __future__ import annotations

from collections.abc import Mapping

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.flows.flow import CANCELED, DONE, FAILED
from taskscheduler.model.lifecycle import Status

WORKER_SPAWN = "worker_spawn"
WORKER_KILL = "worker_kill"
PROGRESS = "progress"  #: a running job reports its progress; not part of `*`, at most one in progress_rate_limit
GAP = "gap"  #: some events were lost; the current states follow
ANY = "*"


class _StatusEvents(dict[Status, str]):
    """The event of each status; a stored value that is no status has the event `unreadable`."""

    def __missing__(self, status: Status) -> str:
        return status.label


STATUS_EVENTS = _StatusEvents({**{status: status.label for status in Status}, Status.CANCELED: "cancel"})
#: the event of each last status of a flow; not part of `*`, whose handlers get jobs
FLOW_EVENTS: Mapping[str, str] = {DONE: "flow_done", FAILED: "flow_failed", CANCELED: "flow_canceled"}
EVENTS = (*STATUS_EVENTS.values(), WORKER_SPAWN, WORKER_KILL, PROGRESS, GAP, *FLOW_EVENTS.values())
APART = frozenset({PROGRESS, *FLOW_EVENTS.values()})  #: what `*` leaves out


def full_name(event: str) -> str:
    """Returns the seed's name of an event: `worker_spawn` -> `taskscheduler.onWorkerSpawn`."""
    return "taskscheduler.on" + "".join(word.capitalize() for word in event.split("_"))


_ALIASES = {event: event for event in EVENTS} | {full_name(event): event for event in EVENTS}
_ALIASES |= {event.replace("_", "-"): event for event in FLOW_EVENTS.values()}
_ALIASES |= {"workerSpawn": WORKER_SPAWN, "workerKill": WORKER_KILL, "canceled": "cancel", ANY: ANY}


def event_name(name: str) -> str:
    """Returns the short name of an event given by any of its names; InvalidOptionError for an unknown one."""
    try:
        return _ALIASES[name]
    except (KeyError, TypeError):
        known = ", ".join((*EVENTS, ANY))
        raise InvalidOptionError(f"unknown event {name!r}; the events are {known}") from None
