"""The methods of a scheduler that say what may run now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, overload

from bson import ObjectId

from taskscheduler.declarations.registry import job_name
from taskscheduler.errors import InvalidOptionError, JobNotFoundError
from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.changes import reason_option
from taskscheduler.model.checks import Seconds, future, queue_name
from taskscheduler.model.checks import tag as checked_tag
from taskscheduler.model.control.pauses import ALL, JOB, QUEUE, TAG, Pause
from taskscheduler.model.control.reasons import Code, Reason
from taskscheduler.operations.control.pauses import pause, pauses, resume
from taskscheduler.operations.control.summary import summary
from taskscheduler.operations.control.why import why
from taskscheduler.store.driver_errors import translated
from taskscheduler.validation import job_id as checked_id


class ControlMethods(Methods):
    """Pauses jobs and resumes them."""

    @action("pause", facts=("queue", "job", "tag", "until"))
    def pause(
        self,
        queue: str | None = None,
        job: Any = None,
        tag: str | None = None,
        reason: str | None = None,
        until: Seconds | datetime | None = None,
    ) -> Pause:
        """Keeps nodes from starting jobs of a queue, a class or a tag, or any job if none is named.

        Every node obeys within a second. Jobs that run go on, and jobs can be added, cancelled and changed. `reason` is
        for people. The pause ends with `resume`, or by itself at `until`: an aware datetime, or seconds or a timedelta
        from now, by the clock of the server. A pause of the same takes the place of the one before. InvalidOptionError.
        """
        named = _named(queue, job, tag)
        asked, ends = replace(named, reason=reason_option(reason)), None if until is None else future("until", until)
        with translated():
            return pause(self._core.store, asked, ends)

    @action("resume", facts=("queue", "job", "tag"))
    def resume(self, queue: str | None = None, job: Any = None, tag: str | None = None) -> bool:
        """Lets nodes start again what is paused, in the order in which it waited; returns whether it was paused.

        Name what `pause` named: to resume everything ends the pause of everything, and no other. InvalidOptionError.
        """
        asked = _named(queue, job, tag)
        with translated():
            return resume(self._core.store, asked)

    def pauses(self) -> list[Pause]:
        """Returns what is paused now: everything, then queues, classes and tags, by their names."""
        with translated():
            return pauses(self._core.store)

    @overload
    def why(self) -> dict[Code, int]: ...

    @overload
    def why(self, job_id: ObjectId | str) -> Reason: ...

    def why(self, job_id: ObjectId | str | None = None) -> Reason | dict[Code, int]:
        """Returns why a job does not run now; without an id, how many live jobs there are for each reason.

        The answer comes from the rules and indexes that decide when jobs run. Counts end at 1001; waiting jobs of a
        class that no node knows count as SLOTS. JobNotFoundError.
        """
        wanted = None if job_id is None else checked_id(job_id)
        with translated():
            store = self._core.store
            if job_id is None:
                return summary(store)
            job = store.jobs.get(wanted)
            if job is None:
                raise JobNotFoundError(wanted)
            return why(store, job)


def _named(queue: str | None, job: Any, tag: str | None) -> Pause:
    """Returns the pause of what is named. InvalidOptionError for more than one."""
    given = [name for name, value in ((QUEUE, queue), (JOB, job), (TAG, tag)) if value is not None]
    if len(given) > 1:
        raise InvalidOptionError(f"give one of queue, job and tag, not {' and '.join(given)}: each has its own pause")
    if queue is not None:
        return Pause(QUEUE, queue_name(QUEUE, queue))
    if job is not None:
        return Pause(JOB, job_name(job))
    return Pause(ALL) if tag is None else Pause(TAG, checked_tag(TAG, tag))
