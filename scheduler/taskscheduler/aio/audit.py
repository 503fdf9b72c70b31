"""AsyncAudit: the methods of `scheduler.audit` as coroutines."""

from __future__ import annotations

from contextlib import AbstractContextManager

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.audit import Audit
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.model.audit.actions import Role
from taskscheduler.model.audit.actors import Acting


class AsyncAudit(AsyncMethods[Audit, AsyncProcess]):
    """What people have done, and on whose behalf a program acts."""

    def acting(
        self, as_: str, reason: str | None = None, *, role: str | Role = Role.ADMIN
    ) -> AbstractContextManager[Acting]:
        """Returns a `with` block in which this coroutine acts for somebody. See Scheduler.audit.acting."""
        return self._blocking.acting(as_, reason, role=role)

    entries = coroutine(Audit.entries)
