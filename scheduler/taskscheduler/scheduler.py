"""`Scheduler`: what an application uses to add, find, cancel, await and observe jobs. It only composes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from types import TracebackType
from typing import Any

from blinker import Namespace
from bson import ObjectId

from taskscheduler.calls import Calls
from taskscheduler.clock import SYSTEM_CLOCK, Clock, Deadline
from taskscheduler.connection import Connection
from taskscheduler.declarations.registry import job_name
from taskscheduler.errors import (
    InvalidOptionError,
    JobNotFoundError,
)
from taskscheduler.events import STATUS_EVENTS, Events, Handler
from taskscheduler.model.checks import Seconds, queue_name, seconds, waiting_time
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import UNSUCCESSFUL, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.solo import Solo
from taskscheduler.operations.add import Added, JobAdder, merged
from taskscheduler.operations.cancel import cancel, live_series
from taskscheduler.operations.delete import delete
from taskscheduler.operations.programs import Record
from taskscheduler.operations.rescue import restore
from taskscheduler.operations.retry import COUNTED_BY, retry
from taskscheduler.operations.service_messages import ServiceMessages
from taskscheduler.operations.services import ServiceControl
from taskscheduler.operations.stats import statistics
from taskscheduler.process import Process
from taskscheduler.store import Store
from taskscheduler.store.change_events import ChangeEvent
from taskscheduler.store.change_feed import Token
from taskscheduler.store.client import Database
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.overview import ClusterOverview
from taskscheduler.validation import batch, check_callable, check_token, listed, named
from taskscheduler.validation import job_id as checked_id
from taskscheduler.waiting.completion_watcher import CompletionWatcher
from taskscheduler.waiting.futures import job_future
from taskscheduler.waiting.listener import BackgroundListener, Listener
from taskscheduler.waiting.waiter import Waiter, event_of


class Scheduler:
    """Adds jobs and knows about them. Safe to use from many threads.

    Give it a pymongo Database, a URI that names a database, or nothing: then the environment variable
    TASKSCHEDULER_URI decides, and without that an embedded server of this user. It connects on first use. Scheduler
    options may be given as keywords or as a mapping `options`; an unknown or bad one raises InvalidOptionError.
    """

    def __init__(
        self,
        database: Database[Any] | str | None = None,
        *,
        logger: logging.Logger | None = None,
        emitter: Namespace | None = None,
        options: Mapping[str, Any] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **given: Any,
    ) -> None:
        self._logger = logger or logging.getLogger("taskscheduler")
        self._events = Events(emitter, self._logger)
        self._options = SchedulerOptions.of(merged(options, given))
        self._clock = clock
        self._connection = Connection(database, clock)
        self._adding = JobAdder(lambda: self._store, self._options, self._cancel, clock)
        self._servicing = ServiceControl(lambda: self._store, self._adding, self._cancel, clock)
        self._letters = ServiceMessages(lambda: self._store, lambda: self._options.max_payload)
        self._background: list[BackgroundListener] = []
        self._listener_lock = threading.Lock()
        self._endings = CompletionWatcher(lambda: self._store, clock, self._announce_change)

    # -- adding -----------------------------------------------------------------------------------------------------

    def add_job(self, job: Any, data: Any = None, options: Mapping[str, Any] | None = None, **given: Any) -> Process:
        """Store a job durably; it runs as soon as a node has a free slot, or at its time.

        `job` is a Job subclass, a `@job` function or a registered name; `data` anything that BSON can hold. Raises
        InvalidJobError, InvalidOptionError, InvalidDataError, PayloadTooLargeError, DuplicateJobError or
        DatabaseUnavailableError. Nothing but the last leaves it open whether the job was stored; adding it again with
        the same `id` is then safe. With `dedupe`, a job of the same class and data that has not started is given
        instead, its `outcome` existing.
        """
        with translated():
            return self._added([self._adding.add(job, data, merged(options, given))])[0]

    def add_jobs(self, jobs: Iterable[Any]) -> list[Process]:
        """Store many jobs in few writes: each a job, or a tuple of job, data and a mapping of options.

        All are validated before the first is written; the error names the position of the one at fault. Jobs with the
        option `dedupe` take a write each.
        """
        with translated():
            return self._added(self._adding.add_many(batch(jobs)))

    def add_job_once(
        self, job: Any, data: Any = None, options: Mapping[str, Any] | None = None, **given: Any
    ) -> Process:
        """Store a job unless the same one is live already: same class, same data (unless `ignore_data`).

        If the options given here differ from those of the live job, or the data under `ignore_data`, it is cancelled
        and replaced. `process.outcome` says created, existing or replaced. Exact under any concurrency. Raises as
        add_job does.
        """
        with translated():
            return self._added([self._adding.add_once(job, data, merged(options, given))])[0]

    def _added(self, added: Sequence[Added]) -> list[Process]:
        processes = [Process(self, document, outcome) for document, outcome in added]
        new = [process for process in processes if process.outcome != "existing"]
        for process in new:
            if process.parent is not None:
                self._join_parent(process)
        if self._events.wanted and not self._listening:
            for process in new:
                self._events.emit(STATUS_EVENTS[process.status], process)
        return processes

    def _join_parent(self, process: Process) -> None:
        """Cancel a child whose parent has ended badly; read after the insert, so neither side misses the other."""
        parent = self._store.jobs.get(process.options["parent"])
        if parent is not None and Status(parent["status"]) in UNSUCCESSFUL:
            self._cancel(process.id)
            process.replace(self._store.jobs.get(process.id) or process.to_dict())

    # -- calling ----------------------------------------------------------------------------------------------------

    def with_options(self, options: Mapping[str, Any] | None = None, **given: Any) -> Calls:
        """Calls with these job options: `with_options(retry=3).submit(resize, "a.png")`. InvalidOptionError."""
        return Calls(self, options, given)

    def submit(self, job: Any, /, *args: Any, **named: Any) -> Process:
        """Add a job with plain arguments and return at once: `submit(resize, "a.png", width=100)`. See `call`.

        All that is given goes to the job; job options stand before: `with_options(retry=3).submit(...)`.
        """
        return Calls(self).submit(job, *args, **named)

    def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Add a job with plain arguments, wait until it has ended, and give what it returned.

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
        """Add many jobs, wait until all have ended; True if all of them did well.

        Each is a `call(job, ...)` or what else add_jobs takes. In this thread, as each one ends, `callback(process)`
        is called, however it ended, and `progress(ended, total)`. WaitTimeoutError after `timeout` seconds: the jobs
        go on. JobNotFoundError if one was deleted meanwhile. What a callback raises ends the wait.
        """
        return Calls(self).run_batch(calls, callback, progress, timeout)

    def track(
        self, name: Any, /, solo: Solo = False, timeout: Seconds = 300, tags: Collection[str] = (), **fields: Any
    ) -> Record:
        """A record of this program, which no node runs, as a job of this name: for a `with` block, or to `start`.

        `solo`: as the job option; AlreadyRunningError where it starts, at once, if another one is at work, a job or a
        program. `timeout`: the longest time without a sign of life, after which the record ends as TIMEOUT; 0: none.
        `tags`: as the job option. Everything else is a field of your own. See Record.
        """
        with translated():
            return Record(self._store, self._options, self._clock, name, solo, timeout, tags, fields)

    # -- finding ----------------------------------------------------------------------------------------------------

    def get_job(self, job_id: ObjectId) -> Process:
        """The job with this id; JobNotFoundError if there is none."""
        with translated():
            document = self._store.jobs.get(checked_id(job_id))
        if document is None:
            raise JobNotFoundError(job_id)
        return Process(self, document)

    def get_jobs(self, query: Mapping[str, Any] | None = None) -> Iterator[Process]:
        """The jobs that match a MongoDB query on their documents, read as you iterate; default: all that are live.

        A job class may stand where its name is stored: `{"class": MailJob}`.
        """
        return self._found(None if query is None else named(query))

    def _found(self, query: Mapping[str, Any] | None) -> Iterator[Process]:
        with translated():
            jobs = self._store.jobs
            for document in jobs.find_live() if query is None else jobs.find(query):
                yield Process(self, document)

    # -- ending -----------------------------------------------------------------------------------------------------

    def cancel_job(self, job_id: ObjectId, only_queued: bool = False) -> bool:
        """Cancel a job and the runs that would follow it: queued, it never starts; running, it is killed.

        Always True; a job that has ended keeps its status. JobNotFoundError if the id is unknown. With `only_queued`
        a job that runs or has ended is left alone and the answer is False; True: it was cancelled before its start.
        """
        with translated():
            before = self._cancel(checked_id(job_id), only_queued)
            document = before or self._store.jobs.get(job_id)
            if document is None:
                raise JobNotFoundError(job_id)
            if before is None and only_queued:
                return False
            if "series" in document:
                self._end_series(document["series"])
        return True

    def _end_series(self, series: ObjectId) -> None:
        while (runs := live_series(self._store, series)) is not None:
            for run in runs:
                self._cancel(run)

    def _cancel(self, job_id: ObjectId, only_queued: bool = False) -> Document | None:
        """The job as it was before, or None if it was not cancelled."""
        before, ended = cancel(self._store, job_id, only_queued)
        if before is not None and self._events.wanted and not self._listening:
            for job in ended:
                process = Process(self, self._store.jobs.get(job) or before)
                self._events.emit(STATUS_EVENTS[process.status], process)
        return before

    def flush(self, job: Any = None, queue: str | None = None) -> int:
        """Delete all jobs, or all of one class or queue; running ones are stopped. How many were deleted."""
        query: dict[str, Any] = {} if job is None else {"class": job_name(job)}
        if queue is not None:
            query["queue"] = queue_name("queue", queue)
        with translated():
            running = self._store.jobs.running(query)
            deleted = self._store.jobs.delete(query)
            self._store.wakeups.jobs_cancelled(running)
        return deleted

    # -- managing ---------------------------------------------------------------------------------------------------

    def retry_job(self, job_id: ObjectId) -> Process:
        """Put an ended job back to the queue as the same document: it runs once more, with all its retries.

        The number of attempts goes on, the last result or error moves to `attempts`. A run of an interval is tried for
        itself; its series goes on, or stays cancelled. InvalidStateError if the job has not ended, or if a job of
        add_job_once has been added in its place; JobNotFoundError if the id is unknown.
        """
        with translated():
            process = Process(self, retry(self._store, checked_id(job_id), self._clock))
        self._announce(STATUS_EVENTS[process.status], process)
        return process

    def delete_job(self, job_id: ObjectId) -> bool:
        """Delete a job whatever it does; one that has not ended is cancelled first. JobNotFoundError if unknown."""
        if not self.get_job(job_id).status.is_final:
            self.cancel_job(job_id)
        with translated():
            return delete(self._store, job_id)

    def restore(self, queue: str | None = None) -> int:
        """Take back at once what nodes hold that are gone, of one queue or all; how many jobs wait again.

        Nodes do so by themselves a while after a node has died; this serves where none is left to do it.
        """
        if queue is not None:
            queue_name("queue", queue)
        with translated():
            return restore(self._store, queue)

    def end_silent(self, job: Any = None) -> list[Process]:
        """End the records of tracked programs that were silent for longer than they promised, or that are gone from
        this host; those that were ended. Of one name or all. Nodes do so by themselves; this serves where none runs.
        """
        query = {} if job is None else {"class": job_name(job)}
        with translated():
            return [Process(self, document) for document in self._store.programs.end_silent(query)]

    def delete_old_jobs(self, age: Seconds, job: Any = None) -> int:
        """Delete the jobs, of one class or all, that ended longer ago than `age`: seconds or a timedelta. How many."""
        older = timedelta(seconds=seconds("age", age))
        query = {} if job is None else {"class": job_name(job)}
        with translated():
            return self._store.programs.delete_old(query, older)

    def counts(self, by: str = "job") -> dict[str, dict[Status, int]]:
        """How many jobs there are in each status, by the name of the `"job"` or by the `"queue"`."""
        if not isinstance(by, str) or by not in COUNTED_BY:
            raise InvalidOptionError(f'option by must be "job" or "queue", not {by!r:.60}')
        with translated():
            return self._store.jobs.counts_by(COUNTED_BY[by])

    # -- services ---------------------------------------------------------------------------------------------------

    def start_service(self, job: Any, data: Any = None, *, name: str | None = None, **given: Any) -> Process:
        """Make a service run, and keep it running: one process in the whole cluster, on whichever node is there.

        `name` (default: that of the job) is unique. Options: `restart` ("always", "on-failure", "never"),
        `restart_interval` (1 s, doubled at each quick failure up to `restart_interval_max`, 60 s), `stop_soft` (5 s),
        `stop_hard` (10 s), and of the job queue, priority, timeout, silence_timeout, tags. What runs as it is defined
        here is left alone, something else is stopped first; `process.outcome` says created, existing or replaced, and
        `process.attempt` how often it was started. Raises as add_job does.
        """
        with translated():
            document, outcome = self._servicing.start(job, data, {**given, "name": name})
            return self._announced(Process(self, document, outcome))

    def stop_service(self, name: str, wait: bool = True) -> Process:
        """Stop a service and do not start it again; with `wait`, return when its process is gone.

        It is asked to stop, interrupted after `stop_soft` seconds and killed after `stop_hard`; it ends CANCELED.
        ServiceNotFoundError if there is none of this name; one that has ended is left as it is.
        """
        with translated():
            return Process(self, self._servicing.stop(name, wait))

    def restart_service(self, name: str) -> Process:
        """Stop a service, if it runs, and start it again at once when its process is gone. ServiceNotFoundError."""
        with translated():
            return self._announced(Process(self, self._servicing.restart(name)))

    def service(self, name: str) -> Process:
        """The service of this name, whatever it does; ServiceNotFoundError if there is none."""
        with translated():
            return Process(self, self._servicing.get(name))

    def services(self) -> list[Process]:
        """All services by their names, also those that have ended, as long as jobs are kept."""
        with translated():
            return [Process(self, document) for document in self._servicing.all()]

    def send(self, service: str | Process, value: Any) -> None:
        """Send a value, anything that BSON can hold, to a service: it gets it from `receive`, once and in order.

        It waits for a service that does not run, for a day. ServiceNotFoundError, InvalidDataError,
        PayloadTooLargeError.
        """
        self._letters.send_to(self._service_id(service), value)

    def receive(self, service: str | Process, timeout: Seconds | None = None, default: Any = None) -> Any:
        """The oldest value that a service has sent, waiting for one as long as `timeout` seconds; else `default`.

        Each value is received once, whoever asks. ServiceNotFoundError.
        """
        deadline = Deadline(waiting_time(timeout), self._clock)
        return self._letters.receive_from(self._service_id(service), deadline, default)

    def _service_id(self, service: str | Process) -> ObjectId:
        return service.id if isinstance(service, Process) else self.service(service).id

    @property
    def letters(self) -> ServiceMessages:
        """What carries the messages of services; for services, not for applications."""
        return self._letters

    def _announced(self, process: Process) -> Process:
        if process.outcome != "existing":
            self._announce(STATUS_EVENTS[process.status], process)
        return process

    # -- waiting and listening --------------------------------------------------------------------------------------

    def wait_for(
        self, processes: Iterable[Process], throw: bool = False, timeout: Seconds | None = None
    ) -> list[Process]:
        """Block until all jobs are DONE, FAILED, CANCELED or TIMEOUT, and refresh them; works from any thread.

        With `throw`, the first that ends, but not DONE, raises its JobError at once. WaitTimeoutError after `timeout`
        seconds, JobNotFoundError if one was deleted meanwhile.
        """
        waited, limit = listed(processes, Process), waiting_time(timeout)
        with translated():
            Waiter(self._store, waited, self._clock, self._announce_change, self._wants_progress, throw).wait(limit)
        return waited

    def future(self, process: Process) -> Future[Any]:
        """The result of a job as a future for `concurrent.futures`. See JobFuture.

        One thread and one change stream, from the first use until `close`, serve all futures of a scheduler.
        """
        if not isinstance(process, Process):
            raise InvalidOptionError(f"future() requires a Process, not {type(process).__name__}")
        return job_future(process, self._endings)

    def listen(
        self,
        callback: Callable[[Process], Any],
        query: Mapping[str, Any] | None = None,
        timeout: Seconds | None = None,
        after: Token | None = None,
    ) -> Token | None:
        """Call `callback(process)` at every change of a status, until it returns True or `timeout` seconds are over.

        `query` is a MongoDB query on job documents. Gives a token; a later listen(after=token) goes on there without
        missing a change, as long as the server's oplog reaches back. If history was lost, handlers of the event `gap`
        are called, and then the callback with every job that may have changed.
        """
        check_callable("the callback of listen()", callback)
        deadline = Deadline(waiting_time(timeout), self._clock)
        with translated():
            listener = self.listener(query, after)
            listener.run(callback, self._announce, deadline)
        return listener.token

    def listener(self, query: Mapping[str, Any] | None, after: Token | None) -> Listener:
        """What follows the changes; for `listen` and its twins, not for applications."""
        check_token(after)
        asked = {} if query is None else named(query)
        return Listener(self, self._store, asked, after, self._wants_progress)

    def listen_in_background(
        self, query: Mapping[str, Any] | None = None, after: Token | None = None
    ) -> BackgroundListener:
        """Deliver events to the handlers bound with `on` from a thread of its own.

        The handle is a context manager and has `stop()`. As long as it runs, no other call delivers events. Of
        several, each delivers what its own query matches.
        """
        with translated():
            listener = self.listener(query, after)
            listener.open()
        background = BackgroundListener(listener, self._events.emit, self._clock)
        with self._listener_lock:
            self._background = [*(one for one in self._background if one.running), background]
        return background

    def on(self, event: str, handler: Handler) -> Scheduler:
        """Call `handler(event_name, process)` at every event of this name, or at all with `*`, while this scheduler
        adds, cancels, waits or listens. Short and full names; InvalidOptionError for an unknown one. Chainable.

        `progress`, which `*` leaves out, tells what running jobs say in update_progress; bind it before you wait.
        """
        self._events.on(event, handler)
        return self

    @property
    def _wants_progress(self) -> bool:
        return self._events.wants_progress and not self._listening

    @property
    def _listening(self) -> bool:
        return any(listener.running for listener in self._background)

    def _announce(self, event: str, process: Process) -> None:
        if self._events.wanted and not self._listening:
            self._events.emit(event, process)

    def _announce_change(self, change: ChangeEvent) -> None:
        self._announce(event_of(change), Process(self, change.document))

    @property
    def endings(self) -> CompletionWatcher:
        """What tells of the end of jobs from a thread of its own; for futures and the asyncio twin."""
        return self._endings

    def stats(self) -> dict[str, Any]:
        """Jobs per status, queues, nodes and their slots, all as numbers and texts: `operations.stats`."""
        return statistics(ClusterOverview(self._store.database, self._options))

    # -- settings and life ------------------------------------------------------------------------------------------

    @property
    def options(self) -> SchedulerOptions:
        return self._options

    def set_options(self, options: Mapping[str, Any] | None = None, **given: Any) -> Scheduler:
        """Change scheduler options; defaults apply to jobs added from now on. InvalidOptionError changes nothing."""
        self._options = SchedulerOptions.of(merged(options, given), self._options)
        self._adding.use(self._options)
        return self

    @property
    def store(self) -> Store:
        """The storage below this scheduler; for the daemon and tools, not for applications."""
        return self._store

    @property
    def _store(self) -> Store:
        return self._connection.store(self._options)

    def disconnect(self) -> None:
        """Close the client for now, for a process that is about to fork; the next use connects again."""
        self._endings.stop()
        self._connection.disconnect()

    def close(self) -> None:
        """Close what this scheduler opened itself: its client, its share of the embedded server, its thread."""
        background, self._background = self._background, []
        try:
            for listener in background:
                if listener.running:
                    listener.stop()
        finally:
            self._endings.stop()
            self._connection.close()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
