"""Start, stop and restart services. No two processes of a service ever run at the same time.

A service is one job document under a unique name. The claim's fence keeps two nodes from running it. A cancelled
service is started again only after its node has reported that the old process is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from taskscheduler.clock import Clock, Deadline
from taskscheduler.connection import Connection
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import InvalidStateError, ServiceNotFoundError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import AddOutcome
from taskscheduler.model.readable import fault_of_service
from taskscheduler.model.services import split, stop_time
from taskscheduler.model.sound import status_of
from taskscheduler.model.uniqueness import fingerprint
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.operations.retry import announce_queued
from taskscheduler.operations.termination import await_gone
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError

_PATIENCE = 30.0  #: seconds, beyond those that its stop may take, for which one competes with others

_PAUSE = 0.02

#: the fields that define a service; a newer definition replaces them
_DEFINITION = ("class", "data", "queue", "priority", "options", "tags", "service", "hook")


class ServiceControl:
    """Starts, stops and restarts the services of one database."""

    def __init__(self, connection: Connection, adder: JobAdder, canceller: JobCanceller, clock: Clock) -> None:
        self._connection = connection
        self._adder = adder
        self._canceller = canceller
        self._clock = clock

    @property
    def _store(self) -> Store:
        return self._connection.store

    def get(self, name: str) -> Document:
        """Returns the document of a service; ServiceNotFoundError if nobody has started one of this name."""
        found = self._store.services.get(name)
        if found is None:
            raise ServiceNotFoundError(name)
        return found

    def all(self) -> list[Document]:
        """Returns the documents of all services."""
        return self._store.services.all()

    def start(self, job: Any, data: Any, given: Mapping[str, Any]) -> tuple[Document, AddOutcome]:
        """Makes a service run as it is defined by its own options and those of its job."""
        name, spec = REGISTRY.resolve(job)
        service, options = split(name, given, spec.options if spec is not None else {})
        return self._start(self._adder.new_service(job, data, options, service.stored()))

    def _start(self, new: NewJob) -> tuple[Document, AddOutcome]:
        name, outcome, deadline = new.document["service"]["name"], "created", None
        while True:
            found = self._store.services.get(name)
            if found is None:
                if self._inserted(new):
                    return new.document, "created"
                continue
            _check_status(name, found)
            deadline = deadline or self._deadline(found)
            live = not status_of(found).is_final
            if live and _definition(found) == _definition(new.document):
                return found, "existing"
            if live:
                self._canceller.cancel(found["_id"])
                outcome = "replaced"
            elif (armed := self._rearmed(found, new.document)) is not None:
                return armed, "replaced" if outcome == "replaced" else "created"
            _check_contention(name, deadline)

    def stop(self, name: str, wait: bool) -> Document:
        """Stops a service that runs or waits for its next start; with `wait`, returns when its process is gone."""
        found = self.get(name)
        _check_status(name, found)
        if not status_of(found).is_final:
            self._canceller.cancel(found["_id"])
        if wait:
            await_gone(self._store, found["_id"], self._clock)
        return self.get(name)

    def restart(self, name: str) -> Document:
        """Stops a service if it is live, and starts it again at once as it is defined, whatever its policy."""
        deadline = self._deadline(self.stop(name, wait=True))
        while True:
            found = self.get(name)
            if not status_of(found).is_final:
                return found  # somebody else has started it again since it was stopped
            armed = self._rearmed(found, None)
            if armed is not None:
                return armed
            _check_contention(name, deadline)

    def _inserted(self, new: NewJob) -> bool:
        try:
            self._store.inserts.insert(new)
        except OnceTakenError:
            return False
        announce_queued(self._store, [new.document])
        return True

    def _rearmed(self, found: Document, definition: Document | None) -> Document | None:
        self._store.outbox.deliver(found["_id"])
        await_gone(self._store, found["_id"], self._clock)
        wanted = None if definition is None else {name: definition.get(name) for name in _DEFINITION}
        armed = self._store.services.rearm(found, wanted)
        if armed is not None:
            announce_queued(self._store, [armed])
        return armed

    def _deadline(self, job: Mapping[str, Any]) -> Deadline:
        return Deadline(_PATIENCE + stop_time(job), self._clock)


def _check_status(name: str, found: Document) -> None:
    """Refuses a service whose stored status is none: it is neither live nor ended, so nobody can start or stop it."""
    if status_of(found) not in set(Status):
        raise InvalidStateError(
            f"the stored document of service {name!r} has no readable status; delete it and start the service again: "
            f"taskscheduler delete {found['_id']}"
        )


def _check_contention(name: str, deadline: Deadline) -> None:
    if deadline.passed:
        raise InvalidStateError(f"other programs changed service {name!r} again and again; try again")
    threading.Event().wait(_PAUSE)


def _definition(job: Mapping[str, Any]) -> str | None:
    """Returns the same text for documents that define the same service; None for one that cannot be run."""
    if isinstance(job, UnreadableDocument) or fault_of_service(job) is not None:
        return None
    parts = {name: job.get(name) for name in _DEFINITION if name != "hook"}
    parts["service"] = {name: value for name, value in job["service"].items() if name != "failures"}
    return fingerprint(parts)
