"""Decides what it takes to start, stop and restart a service. No two of its processes ever run at the same time.

A service is one job document under a unique name. The claim's fence keeps two nodes from running it; and whoever arms
it again after it was cancelled waits until the node has said that the old process is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.declarations.registry import job_name
from taskscheduler.errors import InvalidStateError, ServiceNotFoundError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import AddOutcome
from taskscheduler.model.services import split
from taskscheduler.model.uniqueness import fingerprint
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.retry import tell
from taskscheduler.operations.termination import await_gone
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError

_PATIENCE = 30.0  #: seconds, beyond those that its stop may take, for which others are contended with

_PAUSE = 0.02

#: what may differ between two definitions of a service, and is replaced by the newer one
_DEFINITION = ("class", "data", "queue", "priority", "options", "tags", "service", "hook")


class ServiceControl:
    """The services of one scheduler."""

    def __init__(
        self, store: Callable[[], Store], adding: JobAdder, cancel: Callable[[ObjectId], Any], clock: Clock
    ) -> None:
        self._get_store = store
        self._adding = adding
        self._cancel = cancel
        self._clock = clock

    @property
    def _store(self) -> Store:
        return self._get_store()

    def get(self, name: str) -> Document:
        """The document of a service; ServiceNotFoundError if nobody has started one of this name."""
        found = self._store.services.get(name)
        if found is None:
            raise ServiceNotFoundError(name)
        return found

    def all(self) -> list[Document]:
        """The documents of all services."""
        return self._store.services.all()

    def start(self, job: Any, data: Any, given: Mapping[str, Any]) -> tuple[Document, AddOutcome]:
        """Make a service run as it is defined by its own options and those of its job."""
        service, options = split(job_name(job), given)
        return self._start(self._adding.new_service(job, data, options, service.stored()))

    def _start(self, new: NewJob) -> tuple[Document, AddOutcome]:
        name, outcome, deadline = new.document["service"]["name"], "created", None
        while True:
            found = self._store.services.get(name)
            if found is None:
                if self._inserted(new):
                    return new.document, "created"
                continue
            deadline = deadline or self._deadline(found)
            live = not Status(found["status"]).is_final
            if live and _definition(found) == _definition(new.document):
                return found, "existing"
            if live:
                self._cancel(found["_id"])
                outcome = "replaced"
            elif (armed := self._rearmed(found, new.document)) is not None:
                return armed, "replaced" if outcome == "replaced" else "created"
            self._contend(name, deadline)

    def stop(self, name: str, wait: bool) -> Document:
        """End a service that runs or is to be started again; with `wait`, return when its process is gone."""
        found = self.get(name)
        if not Status(found["status"]).is_final:
            self._cancel(found["_id"])
        if wait:
            await_gone(self._store, found["_id"], self._clock)
        return self.get(name)

    def restart(self, name: str) -> Document:
        """End a service if it is live, and start it again at once as it is defined, whatever its policy."""
        deadline = self._deadline(self.stop(name, wait=True))
        while True:
            found = self.get(name)
            if not Status(found["status"]).is_final:
                return found  # somebody else has started it again since it was stopped
            armed = self._rearmed(found, None)
            if armed is not None:
                return armed
            self._contend(name, deadline)

    def _inserted(self, new: NewJob) -> bool:
        try:
            self._store.jobs.insert(new)
        except OnceTakenError:
            return False
        tell(self._store, new.document)
        return True

    def _rearmed(self, found: Document, definition: Document | None) -> Document | None:
        self._store.outbox.deliver(found["_id"])
        await_gone(self._store, found["_id"], self._clock)
        wanted = None if definition is None else {name: definition.get(name) for name in _DEFINITION}
        armed = self._store.services.rearm(found, wanted)
        if armed is not None:
            tell(self._store, armed)
        return armed

    def _deadline(self, job: Mapping[str, Any]) -> Deadline:
        return Deadline(_PATIENCE + job["service"]["stop_hard"], self._clock)

    @staticmethod
    def _contend(name: str, deadline: Deadline) -> None:
        if deadline.passed:
            raise InvalidStateError(f"service {name!r} is changed by others again and again; try later")
        threading.Event().wait(_PAUSE)


def _definition(job: Mapping[str, Any]) -> str:
    """The same text for documents that define the same service."""
    parts = {name: job.get(name) for name in _DEFINITION if name != "hook"}
    parts["service"] = {name: value for name, value in job["service"].items() if name != "failures"}
    return fingerprint(parts)
