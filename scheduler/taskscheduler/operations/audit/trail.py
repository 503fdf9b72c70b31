"""Opens an entry before an action of somebody, closes it with the outcome, and refuses what the role does not allow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.connection import Connection
from taskscheduler.errors import NotPermittedError, SchedulerError
from taskscheduler.model.audit.actions import ACTIONS, Role
from taskscheduler.model.audit.actors import Acting
from taskscheduler.model.audit.entries import BEGUN, DONE, FAILED, REFUSED, error_text, fact, new_entry, outcome_of
from taskscheduler.model.audit.refusals import RefusalLimit
from taskscheduler.model.document import Document
from taskscheduler.store.driver_errors import brief, translated

logger = logging.getLogger(__name__)


class OpenEntry:
    """The entry of an action that is under way."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.outcome: Document = {}
        self.stays_open = False  #: whether nobody here can know the outcome

    def ended(self, result: Any) -> None:
        """Takes what the action has returned."""
        self.outcome = outcome_of(result)


class AuditTrail:
    """Writes down what people do through one scheduler. Safe to use from many threads."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._refusals = RefusalLimit(clock)
        self._lock = threading.Lock()

    @contextmanager
    def entry(self, acting: Acting, what: str, target: Any, facts: Mapping[str, Any]) -> Iterator[OpenEntry]:
        """Around an action: its entry is stored before it begins, as `begun`, and gets the outcome when it has ended.

        NotPermittedError if the role does not allow it; DatabaseUnavailableError if the entry cannot be stored. In
        both cases the action must not begin.
        """
        about: Document = {} if target is None else {"target": fact(target)}
        known = {name: fact(value) for name, value in facts.items() if value is not None}
        about |= {"facts": known} if known else {}
        if not acting.actor.may(what):
            self.refuse(acting, what, about)
        stored = self._write(acting, what, {**about, "outcome": BEGUN})
        opened = OpenEntry(what)
        try:
            yield opened
        except BaseException as error:
            self._close(stored, {"outcome": FAILED, "error": error_text(error), **opened.outcome})
            raise
        if not opened.stays_open:
            self._close(stored, {**opened.outcome, "outcome": DONE})

    def refuse(self, acting: Acting, what: str, about: Mapping[str, Any]) -> None:
        """Writes down an attempt that the role does not allow, unless there are too many, and raises the error."""
        least = ACTIONS.get(what, Role.ADMIN)
        error = NotPermittedError(acting.actor.name, acting.actor.role.label, what, least.label)
        self.note_refusal(acting, what, {**about, "error": error_text(error)})
        raise error

    def note_refusal(self, acting: Acting, what: str, about: Mapping[str, Any]) -> None:
        """Writes down a refused attempt, unless there are too many. An entry that cannot be stored is logged."""
        with self._lock:
            more = self._refusals.admits(f"{acting.actor.name} {acting.actor.address}")
        if more is None:
            return
        try:
            self._write(acting, what, {**about, "outcome": REFUSED, **({"more": more} if more else {})})
        except SchedulerError as error:
            logger.warning("a refused attempt is not in the audit log", extra={"what": what, "reason": str(error)})

    def note(self, acting: Acting, what: str) -> None:
        """Writes down what is no action on jobs: that somebody logs in or out."""
        self._write(acting, what, {"outcome": DONE})

    def _write(self, acting: Acting, what: str, about: Mapping[str, Any]) -> Document:
        with translated():
            store = self._connection.store
            kept = float(self._connection.options.audit_retention)
            return store.audit.add({**new_entry(acting, what, store.clock.now(), kept), **about})

    def _close(self, entry: Document, outcome: Document) -> None:
        """Completes an entry. What was done is done: if that fails, the entry stays open, and the log says so."""
        try:
            with translated():
                self._connection.store.audit.close(entry["_id"], outcome)
        except SchedulerError as error:
            extra = {"entry": str(entry["_id"]), "reason": brief(error)}
            logger.warning("an entry of the audit log stays open", extra=extra)
