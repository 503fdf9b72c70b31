"""The methods of a scheduler that add, find, cancel and manage single jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError, JobNotFoundError
from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.facade.selections import Selection, Where
from taskscheduler.model.changes import RETRY_OPTIONS, UNCHANGED, UPDATE_OPTIONS, JobChanges, reason_option
from taskscheduler.model.options import At
from taskscheduler.model.resumable.signals import Signal
from taskscheduler.operations.add import merged
from taskscheduler.operations.contention import Added
from taskscheduler.operations.delete import delete_job
from taskscheduler.operations.retry import Retrying
from taskscheduler.operations.signals import send_signal
from taskscheduler.operations.transactions.in_session import InSession
from taskscheduler.operations.update import update
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.transactions.steps import AnySession, Steps
from taskscheduler.validation import batch, named
from taskscheduler.validation import job_id as checked_id


class JobMethods(Methods):
    """Adds, finds, cancels, retries and deletes jobs."""

    @action("job.add", facts=("job",))
    def add_job(
        self,
        /,
        job: Any,
        data: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        session: AnySession | None = None,
        **given: Any,
    ) -> Process:
        """Stores a job durably; it runs as soon as a node has a free slot, or at its time.

        `job` is a Job subclass, a `@job` function or a registered name; `data` anything that BSON can hold, and
        paths, enumerations, decimals, dates, sets, dataclasses and models, which have a stored form. Raises
        InvalidJobError, InvalidOptionError, InvalidDataError, PayloadTooLargeError, DuplicateJobError or
        DatabaseUnavailableError. Only the last leaves it open whether the job was stored; adding it again with the
        same `id` is then safe. With `dedupe`, a job of the same class and data that has not started is returned
        instead, its `outcome` existing; with `unique_for`, one that was accepted within so many seconds. With
        `debounce`, a queued one is put off and gets these data, its `outcome` debounced.

        With `session`, a session of pymongo in which a transaction has begun, all of this happens in the transaction:
        the job exists exactly if that commits, and nodes hear of it then. Handlers of events are not called. Errors
        after which the driver repeats the transaction pass through. InvalidOptionError for a session without a
        transaction, or of other servers.
        """
        if session is not None:
            return self._in(session, lambda work: work.jobs.add(job, data, merged(options, given)))
        with translated():
            return self._announced(self._core.adder.add(job, data, merged(options, given)))

    @action("jobs.add")
    def add_jobs(self, jobs: Iterable[Any], *, session: AnySession | None = None) -> list[Process]:
        """Stores many jobs in few writes: each a job, or a tuple of job, data and a mapping of options.

        All are validated before the first is written; the error names the position of the one at fault. Jobs with the
        options `dedupe`, `unique_for` or `debounce` take some writes each. `session`: as for add_job.
        """
        core = self._core
        if session is not None:
            return core.in_session.carry_out(session, lambda work: self._made(work.jobs.add_many(batch(jobs))))
        with translated():
            added = [core.processes.process(*one) for one in core.adder.add_many(batch(jobs))]
            if core.announcer.wanted:
                for process in added:
                    core.announcer.announce_added(process)
            return added

    @action("job.add", facts=("job",))
    def add_job_once(
        self,
        /,
        job: Any,
        data: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        session: AnySession | None = None,
        **given: Any,
    ) -> Process:
        """Stores a job unless the same one is live already: same class, same data (unless `ignore_data`).

        If your options differ from those of the live job, or your data under `ignore_data`, that job is cancelled and
        replaced. `process.outcome` says created, existing or replaced. Exact under any concurrency. Raises as add_job
        does. `session`: as for add_job.
        """
        if session is not None:
            return self._in(session, lambda work: work.jobs.add_once(job, data, merged(options, given)))
        with translated():
            return self._announced(self._core.adder.add_once(job, data, merged(options, given)))

    def _in(self, session: AnySession, prepare: Callable[[InSession], Steps[Added]]) -> Process:
        return self._core.in_session.carry_out(session, lambda work: self._one(prepare(work)))

    def _one(self, steps: Steps[Added]) -> Steps[Process]:
        return self._core.processes.process(*(yield from steps))

    def _made(self, steps: Steps[list[Added]]) -> Steps[list[Process]]:
        return [self._core.processes.process(*one) for one in (yield from steps)]

    def _announced(self, added: Added) -> Process:
        return self._core.announcer.announce_added(self._core.processes.process(*added))

    def get_job(self, job_id: ObjectId | str) -> Process:
        """Returns the job with this id; JobNotFoundError if there is none.

        An id is an ObjectId or a text: its 24 hexadecimal digits, or the `id_text` of any process, which also names a
        job that somebody else has stored under an id of another kind. InvalidOptionError for any other value.
        """
        job_id = checked_id(job_id)
        with translated():
            document = self._core.store.jobs.get(job_id)
        if document is None:
            raise JobNotFoundError(job_id)
        return self._core.processes.process(document)

    def get_jobs(self, query: Mapping[str, Any] | None = None) -> Iterator[Process]:
        """Yields the jobs that match a MongoDB query on their documents, read as you iterate; default: all live ones.

        A job class may stand where its name is stored, the name of a status where its number is: `{"class": MailJob,
        "status": "failed"}`.
        InvalidOptionError for a field that no job has, and for a status that does not exist.
        """
        return self._found(None if query is None else named(query))

    def _found(self, query: Mapping[str, Any] | None) -> Iterator[Process]:
        with translated():
            jobs = self._core.store.jobs
            for document in jobs.find_live() if query is None else jobs.find(query):
                yield self._core.processes.process(document)

    @action("job.cancel", target="job_id", facts=("only_queued",))
    def cancel_job(self, job_id: ObjectId | str, only_queued: bool = False, reason: str | None = None) -> bool:
        """Cancels a job and the runs that would follow it: queued, it never starts; running, it is killed.

        Always True; a job that has ended keeps its status. JobNotFoundError if the id is unknown. With `only_queued`
        a job that runs or has ended is left alone and the answer is False; True: it was cancelled before its start.
        The `reason`, a text of at most 500 characters, is stored in the job.
        """
        reason = reason_option(reason)
        with translated():
            cancelled = self._core.canceller.cancel_series(checked_id(job_id), only_queued, reason)
        return cancelled or not only_queued

    @action("job.retry", target="job_id", facts=("from_step",))
    def retry_job(
        self,
        /,
        job_id: ObjectId | str,
        data: Any = UNCHANGED,
        *,
        reason: str | None = None,
        from_step: str | None = None,
        **options: Any,
    ) -> Process:
        """Puts an ended job back into the queue as the same document: it runs once more, with all its retries.

        Attempt numbers keep counting, and the previous result or error moves to `attempts`. With `data`, it runs with
        these, and the old ones move there, too; so does the `reason`. Options that may change: `at`, `queue`,
        `priority`, `tags`, `timeout`, `silence_timeout`, and those of retries. A run of an interval is tried
        for itself; its series goes on, or stays cancelled. The job keeps its steps; `from_step` names the first one
        that it forgets, with all after it and the signals that it waited for there. InvalidStateError if the job is
        still live, or if an equal add_job_once job is; JobNotFoundError if the id is unknown; InvalidOptionError,
        InvalidDataError.
        """
        core, changes, reason = self._core, JobChanges.of(options, data, RETRY_OPTIONS), reason_option(reason)
        wanted = checked_id(job_id)
        with translated():
            retrying = Retrying(core.store, core.clock, changes, reason, from_step)
            process = core.processes.process(retrying.retry(wanted))
        return core.announcer.announce_requeued(process)

    @action("job.update", target="job_id", facts=("priority", "at", "queue"))
    def update_job(
        self,
        job_id: ObjectId | str,
        *,
        priority: int | None = None,
        at: At | None = None,
        queue: str | None = None,
        data: Any = UNCHANGED,
        tags: Collection[str] | None = None,
    ) -> Process:
        """Changes a job that has not started, in place, and returns it as it is then; what is not given stays.

        `at`: as the job option; 0 makes it due at once. `tags`: all of them; an empty list removes them.
        InvalidStateError if the job runs or has ended, if it is a service, or if `data` make it equal to another job of
        add_job_once or `dedupe`. JobNotFoundError, InvalidOptionError, InvalidDataError.
        """
        given = {"priority": priority, "at": at, "queue": queue, "tags": tags}
        options = {name: value for name, value in given.items() if value is not None}
        core, changes = self._core, JobChanges.of(options, data, UPDATE_OPTIONS)
        if not changes:
            raise InvalidOptionError("say what to change: priority, at, queue, data or tags")
        wanted = checked_id(job_id)
        with translated():
            process = core.processes.process(update(core.store, core.clock, wanted, changes))
        return core.announcer.announce_updated(process)

    @action("job.signal", target="job_id", facts=("name",))
    def signal(self, job_id: ObjectId | str, name: str, value: Any = None) -> Signal:
        """Gives a job the signal `name`, for which it waits with `wait_for`, has waited or will wait.

        The first one of a name holds: `signal.won` says whether it is yours, `signal.value` is that of the first.
        `signal.timed_out`: the job has given up waiting. InvalidStateError if the job has ended without such a signal,
        or is a service or a program; JobNotFoundError, InvalidOptionError, InvalidDataError, PayloadTooLargeError.
        """
        wanted = checked_id(job_id)
        with translated():
            return send_signal(self._core.store, wanted, name, value)

    def select(
        self, where: str | Mapping[str, Any] | None = None, *, everything: bool = False, slow: bool = False
    ) -> Selection:
        """Returns all jobs that match, to look at, count, retry, cancel or delete: nothing is read yet.

        `where`: an expression such as `"status:failed class:Mail created:>-2h"`, or a MongoDB query as for get_jobs.
        None of them is for all jobs, which has to be said: `everything=True`. A search that would read all jobs has to
        be allowed with `slow=True`, else it raises InvalidOptionError when it begins. InvalidOptionError for a wrong
        expression or query.
        """
        return Selection(self._core, Where.of(where, everything, slow))

    @action("job.delete", target="job_id")
    def delete_job(self, job_id: ObjectId | str) -> bool:
        """Deletes a job in any state; cancels it first if it has not ended. JobNotFoundError if the id is unknown."""
        with translated():
            return delete_job(self._core.store, self._core.canceller, checked_id(job_id))
