"""The methods of a scheduler that wait for jobs."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.methods import Methods
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated
from taskscheduler.validation import listed
from taskscheduler.waiting.futures import job_future
from taskscheduler.waiting.shared_wait import wait_shared
from taskscheduler.waiting.waiter import Waiter


class WaitingMethods(Methods):
    """Waits for jobs, in this thread or by futures."""

    def wait_for(
        self, processes: Iterable[Process], throw: bool = False, timeout: Seconds | None = None
    ) -> list[Process]:
        """Blocks until all jobs are DONE, FAILED, CANCELED or TIMEOUT, and refreshes them; works from any thread.

        With `throw`, the first that ends, but not DONE, raises its JobError at once. WaitTimeoutError after `timeout`
        seconds, JobNotFoundError if one was deleted meanwhile.
        """
        waited, limit = listed(processes, Process), waiting_time(timeout)
        core = self._core
        core.announcer.follow(waited)
        with translated():
            store = core.store
            with core.waits.one() as own_stream:
                if own_stream:
                    Waiter(store, waited, core.announcer, core.clock, throw).wait(limit)
                else:
                    wait_shared(core.completions, waited, limit, throw)
        return waited

    def future(self, process: Process) -> Future[Any]:
        """Returns the result of a job as a future for `concurrent.futures`. See JobFuture.

        One thread and one change stream, from the first use until `close`, serve all futures of a scheduler.
        """
        if not isinstance(process, Process):
            raise InvalidOptionError(f"future() requires a Process, not {type(process).__name__}")
        self._core.announcer.follow([process])
        return job_future(process, self._core.completions)
