"""Decides what is stored when a job is added: checks everything first, then writes, then wakes the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from taskscheduler.clock import Clock, Deadline
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import (
    DuplicateJobError,
    InvalidJobError,
    InvalidOptionError,
    JobNotFoundError,
    SchedulerError,
)
from taskscheduler.model.document import Document, NewJob, new_document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import encode
from taskscheduler.model.process_state import AddOutcome, stored_options
from taskscheduler.model.solo import make_solo, solo_key
from taskscheduler.model.uniqueness import fingerprint, once_key
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError

_ONCE_PATIENCE = 30.0  #: seconds for which one contends with others that add the same job

Added = tuple[Document, AddOutcome]  #: a stored job, and what was done


class JobAdder:
    """Stores the jobs of one scheduler. Raises as Scheduler.add_job says."""

    def __init__(
        self,
        store: Callable[[], Store],
        options: SchedulerOptions,
        cancel: Callable[[Any], Any],
        clock: Clock,
    ) -> None:
        self._get_store = store
        self.use(options)
        self._cancel = cancel
        self._clock = clock

    def use(self, options: SchedulerOptions) -> None:
        """Add jobs by these options from now on."""
        self._defaults = options.job_defaults()
        self._max_payload = options.max_payload

    @property
    def _store(self) -> Store:
        return self._get_store()

    def add(self, job: Any, data: Any, asked: Mapping[str, Any]) -> Added:
        """Store one job."""
        new = self._new(job, data, asked, wake=self._store.wakeups.is_quiet())
        if "dedupe" in new.document:
            return self._deduped(new)
        self._store.jobs.insert(new)
        self._tell([new])
        return new.document, "created"

    def add_many(self, jobs: Iterable[Any]) -> list[Added]:
        """Store many: each a job, or a tuple of job, data and a mapping of options; all are checked before."""
        new = [self._numbered(number, entry) for number, entry in enumerate(jobs)]
        self._check_ids(new)
        plain = [job for job in new if "dedupe" not in job.document]
        self._store.jobs.insert_many(plain)
        self._tell(plain)
        return [self._deduped(job) if "dedupe" in job.document else (job.document, "created") for job in new]

    def _deduped(self, new: NewJob) -> Added:
        """Insert under the unique key of queued jobs, or find the job that holds it."""
        deadline = Deadline(_ONCE_PATIENCE, self._clock)
        while True:
            try:
                self._store.jobs.insert(new)
                self._tell([new])
                return new.document, "created"
            except OnceTakenError:
                found = self._store.jobs.same_queued(new.document["dedupe"])
            if found is not None:
                return found, "existing"
            self._contend(deadline)  # it has been claimed just now, or no majority knows it yet

    def add_once(self, job: Any, data: Any, asked: Mapping[str, Any]) -> Added:
        """Store a job unless the same one is live: its document, and what was done."""
        if asked.get("dedupe"):
            raise InvalidOptionError("option dedupe is for add_job; add_job_once looks for running jobs, too")
        new = self._new(job, data, asked)
        ignore_data = JobOptions.of(asked, self._defaults).ignore_data
        key = once_key(new.document["class"], new.document["data"], ignore_data)
        document = {**new.document, "once": key, "once_key": key}
        return self._once(NewJob(new.id, document, self._encode(document)), asked, ignore_data)

    def new_service(self, job: Any, data: Any, asked: Mapping[str, Any], service: Mapping[str, Any]) -> NewJob:
        """What a service is to be; nothing is stored."""
        new = self._new(job, data, asked, serves=True)
        document = {**new.document, "service": dict(service)}
        document.pop("async", None)  # it has a worker for itself
        return NewJob(new.id, document, self._encode(document))

    def _once(self, new: NewJob, asked: Mapping[str, Any], ignore_data: bool) -> Added:
        """Insert under the unique key until it holds, or until the job that holds it is what was asked for."""
        jobs, deadline = self._store.jobs, Deadline(_ONCE_PATIENCE, self._clock)
        outcome: AddOutcome = "created"
        while True:
            found = jobs.same_live(new.document["class"], new.document["data"], new.document["once"], ignore_data)
            if found is not None and Status(found["status"]).is_final:
                self._store.outbox.deliver(found["_id"])  # an ended run whose next one is not stored yet
                self._contend(deadline)
                continue
            if found is not None and _is_same(found, new, asked):
                return found, "existing"
            if found is not None:
                self._cancel(found["_id"])
                outcome = "replaced"
            try:
                jobs.insert(new)
                self._tell([new])
                return new.document, outcome
            except OnceTakenError:
                self._contend(deadline)

    @staticmethod
    def _contend(deadline: Deadline) -> None:
        if deadline.passed:
            raise SchedulerError("others add the same job again and again; try later")

    def _new(self, job: Any, data: Any, asked: Mapping[str, Any], wake: bool = False, serves: bool = False) -> NewJob:
        name, spec = REGISTRY.resolve(job)
        options = JobOptions.of(asked, self._defaults)
        now = self._store.clock.now()
        if spec is not None:  # else only a worker can tell
            spec.check_kind(serves)
            data = spec.accept(data)
        document = new_document(name, data, options, now)
        if options.dedupe:
            document["dedupe"] = once_key(name, data, options.ignore_data)
        solo = options.solo if options.solo is not None else spec is not None and spec.solo
        if key := solo_key(solo, name):
            make_solo(document, key, now)
        elif wake:
            document["wake"] = True
        if spec is not None:
            document["hook"] = spec.has_hook
            if spec.is_async and not options.force_spawn:
                document["async"] = True
        new = NewJob(document["_id"], document, self._encode(document))
        if options.parent is not None and self._store.jobs.get(options.parent) is None:
            raise JobNotFoundError(options.parent)  # before anything is written
        return new

    def _encode(self, document: Document) -> Any:
        return encode(document, self._max_payload)

    def _numbered(self, number: int, entry: Any) -> NewJob:
        parts = entry if isinstance(entry, tuple) else (entry,)
        try:
            if not 1 <= len(parts) <= 3:
                raise InvalidJobError("give a job, or a tuple of job, data and options")
            job, data, options = (*parts, None, None)[:3]
            return self._new(job, data, merged(options, {}))
        except (SchedulerError, TypeError) as error:
            error.args = (f"job {number} of the batch: {error}",)
            raise

    def _check_ids(self, new: Sequence[NewJob]) -> None:
        """A batch with an id that is taken is refused before anything is written."""
        ids = [job.id for job in new]
        if len(set(ids)) < len(ids):
            raise DuplicateJobError(next(job_id for job_id in ids if ids.count(job_id) > 1))
        for start in range(0, len(ids), 1000):
            taken = self._store.jobs.taken_ids(ids[start : start + 1000])
            if taken:
                raise DuplicateJobError(taken[0])

    def _tell(self, new: Sequence[NewJob]) -> None:
        """Wake the nodes."""
        if not new:
            return
        later = any(job.document["status"] == Status.POSTPONED for job in new)
        forced = any(job.document["options"]["force_spawn"] or "async" in job.document for job in new)
        self._store.wakeups.jobs_added([job.id for job in new], {job.document["queue"] for job in new}, later, forced)
        self._store.solo_locks.admit_next({job.document["solo"] for job in new if "parked_at" in job.document})


def merged(options: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options given as a mapping and as keywords, in one; naming one twice is an error."""
    if options is not None and not isinstance(options, Mapping):
        raise InvalidOptionError(f"options must be a mapping, not {type(options).__name__}")
    for name in options or {}:
        if name in given:
            raise InvalidOptionError(f"option {name} is given twice")
    return {**(options or {}), **given}


def _is_same(found: Document, new: NewJob, asked: Mapping[str, Any]) -> bool:
    """Whether a live job is what was asked for: equal data, and equal options as far as they were given."""
    if fingerprint(found.get("data")) != fingerprint(new.document["data"]):
        return False
    here, there = stored_options(found), stored_options(new.document)
    return all(here.get(name) == there.get(name) for name in asked if name != "id")
