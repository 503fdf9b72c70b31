"""The methods of a scheduler that add, find, cancel and manage single jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.errors import JobNotFoundError
from taskscheduler.facade.methods import Methods
from taskscheduler.operations.add import Added, merged
from taskscheduler.operations.delete import delete
from taskscheduler.operations.retry import retry
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated
from taskscheduler.validation import batch, named
from taskscheduler.validation import job_id as checked_id


class JobMethods(Methods):
    """Adds, finds, cancels, retries and deletes jobs."""

    def add_job(self, /, job: Any, data: Any = None, options: Mapping[str, Any] | None = None, **given: Any) -> Process:
        """Stores a job durably; it runs as soon as a node has a free slot, or at its time.

        `job` is a Job subclass, a `@job` function or a registered name; `data` anything that BSON can hold. Raises
        InvalidJobError, InvalidOptionError, InvalidDataError, PayloadTooLargeError, DuplicateJobError or
        DatabaseUnavailableError. Only the last leaves it open whether the job was stored; adding it again with the
        same `id` is then safe. With `dedupe`, a job of the same class and data that has not started is returned
        instead, its `outcome` existing.
        """
        with translated():
            return self._announced(self._core.adder.add(job, data, merged(options, given)))

    def add_jobs(self, jobs: Iterable[Any]) -> list[Process]:
        """Stores many jobs in few writes: each a job, or a tuple of job, data and a mapping of options.

        All are validated before the first is written; the error names the position of the one at fault. Jobs with the
        option `dedupe` take a write each.
        """
        core = self._core
        with translated():
            added = [core.processes.process(*one) for one in core.adder.add_many(batch(jobs))]
            if core.announcer.wanted:
                for process in added:
                    core.announcer.announce_added(process)
            return added

    def add_job_once(
        self, /, job: Any, data: Any = None, options: Mapping[str, Any] | None = None, **given: Any
    ) -> Process:
        """Stores a job unless the same one is live already: same class, same data (unless `ignore_data`).

        If your options differ from those of the live job, or your data under `ignore_data`, that job is cancelled and
        replaced. `process.outcome` says created, existing or replaced. Exact under any concurrency. Raises as add_job
        does.
        """
        with translated():
            return self._announced(self._core.adder.add_once(job, data, merged(options, given)))

    def _announced(self, added: Added) -> Process:
        return self._core.announcer.announce_added(self._core.processes.process(*added))

    def get_job(self, job_id: ObjectId | str) -> Process:
        """Returns the job with this id, an ObjectId or its 24 hexadecimal digits; JobNotFoundError if there is none."""
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

    def cancel_job(self, job_id: ObjectId | str, only_queued: bool = False) -> bool:
        """Cancels a job and the runs that would follow it: queued, it never starts; running, it is killed.

        Always True; a job that has ended keeps its status. JobNotFoundError if the id is unknown. With `only_queued`
        a job that runs or has ended is left alone and the answer is False; True: it was cancelled before its start.
        """
        with translated():
            return self._core.canceller.cancel_series(checked_id(job_id), only_queued)

    def retry_job(self, job_id: ObjectId | str) -> Process:
        """Puts an ended job back into the queue as the same document: it runs once more, with all its retries.

        Attempt numbers keep counting, and the previous result or error moves to `attempts`. A run of an interval is
        tried for itself; its series goes on, or stays cancelled. InvalidStateError if the job is still live, or if an
        equal add_job_once job is; JobNotFoundError if the id is unknown.
        """
        with translated():
            process = self._core.processes.process(retry(self._core.store, checked_id(job_id), self._core.clock))
        return self._core.announcer.announce_added(process)

    def delete_job(self, job_id: ObjectId | str) -> bool:
        """Deletes a job in any state; cancels it first if it has not ended. JobNotFoundError if the id is unknown."""
        if not self.get_job(job_id).status.is_final:
            self.cancel_job(job_id)
        with translated():
            return delete(self._core.store, checked_id(job_id))
