"""The audit log: the methods of `scheduler.audit`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.methods import Methods
from taskscheduler.model.audit.actions import Role, matching
from taskscheduler.model.audit.actors import Acting, Actor
from taskscheduler.model.audit.entries import OUTCOMES, AuditEntry
from taskscheduler.model.checks import Seconds, integer, near_miss, object_id, past
from taskscheduler.operations.audit.acting import acting_as
from taskscheduler.store.audit.log import WantedEntries
from taskscheduler.store.driver_errors import translated


class Audit(Methods):
    """What people have done, and on whose behalf a program acts."""

    def acting(
        self, as_: str, reason: str | None = None, *, role: str | Role = Role.ADMIN
    ) -> AbstractContextManager[Acting]:
        """Returns a `with` block in which this thread or coroutine acts for somebody: `acting("ana", "SMTP is down")`.

        Each action in it is in the audit log, under this name and with this reason, unless the action has one of its
        own. `role` is viewer, operator or admin: NotPermittedError for an action that it does not allow, before
        anything is changed. It holds for all schedulers, and for coroutines that are started within; threads that are
        started within act for the program again. InvalidOptionError.
        """
        return acting_as(Actor.of(as_, role), reason)

    def entries(
        self,
        who: str | None = None,
        what: str | None = None,
        target: str | None = None,
        since: Seconds | datetime | None = None,
        *,
        outcome: str | None = None,
        before: ObjectId | str | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Returns what people have done, the newest first.

        `who`: this name; `what`: an action such as `job.cancel`, all of a kind such as `job`, or of a verb such as
        `cancel`; `target`: the id of a job or flow, or the name of a schedule, limit, group, sequence or service;
        `outcome`: begun, done, failed or refused. `since`: an aware datetime, or seconds or a timedelta before now.
        `before`: entries older than this one. Returns at most `limit` entries, 1 to 1000. InvalidOptionError.
        """
        if outcome is not None and outcome not in OUTCOMES:
            known = ", ".join(OUTCOMES)
            raise InvalidOptionError(
                f"option outcome must be one of {known}, not {outcome!r:.60}{near_miss(outcome, OUTCOMES)}"
            )
        earliest, most = None if since is None else past("since", since), integer("limit", limit, least=1, most=1000)
        older, actions = object_id("before", before), () if what is None else matching(what)
        with translated():
            store = self._core.store
            if isinstance(earliest, timedelta):
                earliest = store.clock.now() - earliest
            wanted = WantedEntries(who or "", actions, target or "", outcome or "", earliest, older)
            return [AuditEntry(document) for document in store.audit.newest(wanted, most)]
