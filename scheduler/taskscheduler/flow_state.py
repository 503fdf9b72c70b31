"""RunningFlow: a flow as a program holds it: refresh, wait, cancel, retry what failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from bson import ObjectId

from taskscheduler.model.checks import Seconds
from taskscheduler.model.flows.flow import FLOW_STATUSES, RUNNING
from taskscheduler.model.lifecycle import LIVE
from taskscheduler.model.sound import is_count, is_text
from taskscheduler.process import Process

_LIVE = frozenset(status.label for status in LIVE)


class FlowState:
    """The state of one flow as last read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    @property
    def id(self) -> ObjectId:
        flow_id: ObjectId = self._document["_id"]
        return flow_id

    @property
    def name(self) -> str:
        """Its name for people."""
        return str(self._document.get("name", ""))

    @property
    def status(self) -> str:
        """`running`, and when none of its jobs is live any more `done`, `failed` or `canceled`.

        It has failed if a job failed or timed out, also if others ran all the same.
        """
        status = self._document.get("status")
        return status if status in FLOW_STATUSES else RUNNING

    @property
    def has_ended(self) -> bool:
        """Whether none of its jobs is live any more."""
        return self.status != RUNNING

    @property
    def total(self) -> int:
        """How many jobs it has."""
        total: Any = self._document.get("total")
        return int(total) if is_count(total) else 0

    @property
    def counts(self) -> dict[str, int]:
        """How many of its stored jobs are in which status, by the names of statuses."""
        counts = self._document.get("counts")
        listed = counts.items() if isinstance(counts, Mapping) else ()
        return {name: number for name, number in listed if is_count(number)}

    @property
    def progress(self) -> float:
        """How many of its jobs have ended, in percent."""
        live = sum(number for name, number in self.counts.items() if name in _LIVE)
        if self.has_ended or not self.total:
            return 100.0
        return 100.0 * max(0, self.total - live) / self.total

    @property
    def created(self) -> datetime | None:
        return self._date("created")

    @property
    def ended(self) -> datetime | None:
        """When its last job had ended."""
        return self._date("ended")

    @property
    def reason(self) -> str | None:
        """The reason that somebody gave for cancelling it."""
        cancelled = self._document.get("cancel")
        reason = cancelled.get("reason") if isinstance(cancelled, Mapping) else None
        return reason if is_text(reason) else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the stored document, with the counts."""
        return dict(self._document)

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes over a newer state of the same flow."""
        self._document = document

    def _date(self, name: str) -> datetime | None:
        date = self._document.get(name)
        return date if isinstance(date, datetime) else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlowState) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class FlowAccess(Protocol):
    """The part of `scheduler.flows` that a running flow uses."""

    def get(self, flow_id: ObjectId | str) -> RunningFlow:
        """Returns a flow. See Flows.get."""
        ...

    def processes(self, flow_id: ObjectId | str) -> list[Process]:
        """Returns the jobs of a flow. See Flows.processes."""
        ...

    def wait(self, flow_id: ObjectId | str, timeout: Seconds | None = None, throw: bool = False) -> RunningFlow:
        """Blocks until a flow has ended. See Flows.wait."""
        ...

    def cancel(self, flow_id: ObjectId | str, reason: str | None = None) -> bool:
        """Cancels a flow. See Flows.cancel."""
        ...

    def retry(self, flow_id: ObjectId | str, reason: str | None = None) -> int:
        """Puts back what failed. See Flows.retry."""
        ...


class RunningFlow(FlowState):
    """A stored flow: its jobs, how far it is, and how it ended. A snapshot until `refresh` or `wait`."""

    def __init__(self, flows: FlowAccess, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        self._flows = flows

    @property
    def processes(self) -> list[Process]:
        """Its jobs as they are now, those first that come after no other."""
        return self._flows.processes(self.id)

    def refresh(self) -> RunningFlow:
        """Reads the flow again; FlowNotFoundError if it was deleted."""
        self.replace(self._flows.get(self.id).to_dict())
        return self

    def wait(self, timeout: Seconds | None = None, throw: bool = False) -> RunningFlow:
        """Blocks until none of its jobs is live any more, and refreshes it.

        With `throw`, a flow that is not done raises the JobError of the job that failed first. WaitTimeoutError after
        `timeout` seconds.
        """
        self.replace(self._flows.wait(self.id, timeout, throw).to_dict())
        return self

    def cancel(self, reason: str | None = None) -> bool:
        """Cancels all of its jobs that have not ended; False if it has ended. See Flows.cancel."""
        cancelled = self._flows.cancel(self.id, reason)
        self.refresh()
        return cancelled

    def retry_failed(self, reason: str | None = None) -> int:
        """Puts jobs back that failed or timed out, and those that were cancelled because of them. See Flows.retry."""
        queued = self._flows.retry(self.id, reason)
        self.refresh()
        return queued


class RunningFlows:
    """Makes the flows that handlers of events are called with."""

    def __init__(self) -> None:
        self.access: FlowAccess | None = None  #: `scheduler.flows`, as soon as that is there

    def flow(self, document: Mapping[str, Any]) -> FlowState:
        """Returns the flow for a stored document."""
        return FlowState(document) if self.access is None else RunningFlow(self.access, document)
