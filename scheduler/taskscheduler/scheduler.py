"""Scheduler: the facade. Each method checks its arguments and calls one operation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, overload

from blinker import Namespace

from taskscheduler.calls import Calls
from taskscheduler.clock import SYSTEM_CLOCK, Clock, Deadline
from taskscheduler.connection import Connection, Source
from taskscheduler.declarations.typed import P, R_co, TypedJob
from taskscheduler.events import Handler
from taskscheduler.facade.core import Foundation
from taskscheduler.facade.operations import Operations
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.solo import Solo
from taskscheduler.operations.add import merged
from taskscheduler.operations.programs import Record, Tracked
from taskscheduler.operations.service_messages import ServiceMessages
from taskscheduler.process import Process
from taskscheduler.store import Store
from taskscheduler.store.change_feed import Token
from taskscheduler.store.client import Database
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.transactions.steps import AnySession
from taskscheduler.validation import check_callable
from taskscheduler.waiting.completion_watcher import CompletionWatcher
from taskscheduler.waiting.listener import BackgroundListener


class Scheduler(Operations):
    """Adds jobs and knows about them. Safe to use from many threads.

    Give it a pymongo Database, a URI that names a database, or nothing: then the environment variable
    TASKSCHEDULER_URI decides, and without that it is the database of this project on the embedded server of this user,
    with a warning in the log. It connects on first use. Scheduler options may be given as keywords or as a mapping
    `options`; an unknown or bad one raises InvalidOptionError.
    """

    def __init__(
        self,
        database: Source | None = None,
        *,
        logger: logging.Logger | None = None,
        emitter: Namespace | None = None,
        options: Mapping[str, Any] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **given: Any,
    ) -> None:
        super().__init__(Foundation.of(database, logger, emitter, merged(options, given), clock))

    # -- calling jobs like functions, tracking programs -------------------------------------------------------------

    def with_options(
        self, options: Mapping[str, Any] | None = None, *, session: AnySession | None = None, **given: Any
    ) -> Calls:
        """Returns calls with these job options: `with_options(retry=3).submit(resize, "a.png")`. InvalidOptionError.

        With `session`, `submit` adds its jobs in the transaction that has begun there, as add_job does.
        """
        return Calls(self, options, given, session)

    @overload
    def submit(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> Process[R_co]: ...

    @overload
    def submit(self, job: type | str, /, *args: Any, **named: Any) -> Process: ...

    def submit(self, job: Any, /, *args: Any, **named: Any) -> Process:
        """Adds a job with plain arguments and returns at once: `submit(resize, "a.png", width=100)`. See `call`.

        All that is given goes to the job; job options stand before: `with_options(retry=3).submit(...)`.
        """
        return Calls(self).submit(job, *args, **named)

    @overload
    def run(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> R_co: ...

    @overload
    def run(self, job: type | str, /, *args: Any, **named: Any) -> Any: ...

    def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Adds a job with plain arguments, waits until it has ended, and returns its result.

        Raises JobFailedError, JobTimeoutError or JobCanceledError if it did not end well, and as add_job does.
        """
        return Calls(self).run(job, *args, **named)

    def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[Process], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Adds many jobs and waits until all have ended; returns whether all of them succeeded.

        Each is a `call(job, ...)` or anything else that add_jobs takes. In this thread, as each one ends,
        `callback(process)` is called, however it ended, and `progress(ended, total)`. WaitTimeoutError after `timeout`
        seconds: the jobs go on. JobNotFoundError if one was deleted meanwhile. An exception of a callback ends the
        wait.
        """
        return Calls(self).run_batch(calls, callback, progress, timeout)

    def track(
        self, name: Any, /, solo: Solo = False, timeout: Seconds = 300, tags: Collection[str] = (), **fields: Any
    ) -> Record:
        """Returns a record of this program, which no node runs, as a job of this name: for a `with` block, or `start`.

        `solo`: as the job option; AlreadyRunningError where it starts, at once, if another one is at work, a job or a
        program. `timeout`: the longest time without a sign of life, after which the record ends as TIMEOUT; 0: none.
        `tags`: as the job option. Everything else is a field of your own. See Record.
        """
        with translated():
            return Record(self._core.store, Tracked(name, solo, timeout, tags, fields))

    # -- listening --------------------------------------------------------------------------------------------------

    def listen(
        self,
        callback: Callable[[Process], Any],
        query: Mapping[str, Any] | None = None,
        timeout: Seconds | None = None,
        after: Token | None = None,
    ) -> Token | None:
        """Calls `callback(process)` at every change of a status, until it returns True or `timeout` seconds are over.

        `query` is a MongoDB query on job documents. Returns a token; a later listen(after=token) goes on there without
        missing a change, as long as the server's oplog reaches back. If history was lost, handlers of the event `gap`
        are called, and then the callback with every job that may have changed.
        """
        check_callable("the callback of listen()", callback)
        deadline = Deadline(waiting_time(timeout), self._core.clock)
        with translated():
            listener = self._core.listener(query, after)
            listener.run(callback, self._core.announcer.announce, deadline)
        return listener.token

    def listen_in_background(
        self, query: Mapping[str, Any] | None = None, after: Token | None = None
    ) -> BackgroundListener:
        """Delivers events to the handlers bound with `on` from a thread of its own.

        The handle is a context manager and has `stop()`. As long as it runs, no other call delivers events. Of
        several, each delivers the events that its own query matches.
        """
        with translated():
            listener = self._core.listener(query, after)
            listener.open()
        background = BackgroundListener(listener, self._core.announcer, self._core.clock)
        self._core.announcer.leave_to(background)
        return background

    def on(self, event: str, handler: Handler) -> Scheduler:
        """Calls `handler(event_name, process)` at every event of this name, or at all with `*`, while this scheduler
        adds, cancels, waits or listens. Short and full names; InvalidOptionError for an unknown one. Chainable.

        The handlers of `flow_done`, `flow_failed` and `flow_canceled` get the RunningFlow; `*` leaves these out.
        `progress`, which `*` leaves out, reports what running jobs pass to update_progress; bind it before you wait.
        """
        self._core.events.on(event, handler)
        return self

    # -- settings and life ------------------------------------------------------------------------------------------

    @property
    def options(self) -> SchedulerOptions:
        return self._core.connection.options

    def set_options(self, options: Mapping[str, Any] | None = None, **given: Any) -> Scheduler:
        """Changes scheduler options; defaults apply to jobs added from now on. InvalidOptionError changes nothing."""
        self._core.connection.use(SchedulerOptions.of(merged(options, given), self.options))
        return self

    @property
    def database(self) -> Database[Any]:
        """The pymongo Database in which the jobs are; dates that it reads are aware, writes wait for a majority."""
        return self._core.store.database

    @property
    def store(self) -> Store:
        """The storage below this scheduler; for the daemon and tools, not for applications."""
        return self._core.store

    @property
    def connection(self) -> Connection:
        """The connection to that storage; for the asyncio twin, not for applications."""
        return self._core.connection

    @property
    def completions(self) -> CompletionWatcher:
        """The thread that watches for the end of jobs; for batches and tools, not for applications."""
        return self._core.completions

    @property
    def service_messages(self) -> ServiceMessages:
        """The messages of services; for services, not for applications."""
        return self._core.service_messages

    def disconnect(self) -> None:
        """Closes the client for now, for a process that is about to fork; the next use connects again."""
        try:
            self._core.stop_streams()
        finally:
            self._core.connection.disconnect()

    def close(self) -> None:
        """Closes what this scheduler opened itself: its client, its share of the embedded server, its threads."""
        self._core.close()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
