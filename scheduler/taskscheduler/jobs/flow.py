"""The flow of a running job: `self.flow`, to which the job may add others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.errors import InvalidStateError
from taskscheduler.jobs.commits import CommitState
from taskscheduler.model.flows.membership import CANCEL
from taskscheduler.operations.flows.extend import Running
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler


class JobFlow:
    """The flow that a running job belongs to."""

    def __init__(self, running: Running, label: str, scheduler: Scheduler, commits: CommitState) -> None:
        self._commits = commits
        self._running = running
        self._scheduler = scheduler
        self.label = label  #: the name of the job in the flow

    @property
    def id(self) -> ObjectId:
        return self._running.flow

    def add(
        self,
        job: Any,
        data: Any = None,
        /,
        *,
        after: Any = (),
        on_failure: str = CANCEL,
        label: str | None = None,
        **options: Any,
    ) -> Process:
        """Adds one more job to this flow, at once and durably, and returns it.

        `after`: jobs of this flow that have to end before, also such that have ended: processes, ids or labels. All
        else is as in `Flow.add`. No job that is there already waits for the new one. An attempt that is repeated adds
        nothing twice that has a `label`: it gets the job that is there. InvalidStateError if the flow is being
        cancelled, if this attempt is not the current one any more, and in a block of `commit`.
        """
        _check(self._commits)
        given = _given(after, on_failure, label, options)
        return self._scheduler.flows.extend(self._running, job, data, given)


class AsyncJobFlow:
    """The flow that a running async job belongs to."""

    def __init__(self, running: Running, label: str, scheduler: AsyncScheduler, commits: CommitState) -> None:
        self._commits = commits
        self._running = running
        self._scheduler = scheduler
        self.label = label  #: the name of the job in the flow

    @property
    def id(self) -> ObjectId:
        return self._running.flow

    async def add(
        self,
        job: Any,
        data: Any = None,
        /,
        *,
        after: Any = (),
        on_failure: str = CANCEL,
        label: str | None = None,
        **options: Any,
    ) -> AsyncProcess:
        """Adds one more job to this flow, and returns it. See JobFlow.add."""
        _check(self._commits)
        given = _given(after, on_failure, label, options)
        return await self._scheduler.flows.extend(self._running, job, data, given)


def _check(commits: CommitState) -> None:
    if commits.is_open:
        raise InvalidStateError("flow.add would conflict with commit(), which writes the job; leave its block first")


def _given(after: Any, on_failure: str, label: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, "after": after, "on_failure": on_failure, "label": label}
