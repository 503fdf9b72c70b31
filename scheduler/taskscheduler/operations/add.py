"""Add a job, a batch, or a job once: everything is checked first, then written, then nodes are woken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.connection import Connection
from taskscheduler.errors import (
    DuplicateJobError,
    InvalidJobError,
    InvalidOptionError,
    JobNotFoundError,
    SchedulerError,
)
from taskscheduler.model.control.windows import WINDOW_OPTIONS
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lifecycle import UNSUCCESSFUL
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import encode
from taskscheduler.model.process_state import AddOutcome, stored_options
from taskscheduler.model.sound import status_of
from taskscheduler.model.uniqueness import fingerprint, once_key
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.operations.contention import PATIENCE, Added, check_contention
from taskscheduler.operations.control.naming import put_in_lists
from taskscheduler.operations.job_request import JobRequest
from taskscheduler.operations.wake import announce_urgent, wake_nodes
from taskscheduler.operations.windows import add_debounced, add_unique
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError
from taskscheduler.tracing import FIELD, Tracing, tracing_of

T = TypeVar("T")

#: options for which add_job_once has another answer, and their values without effect
_NOT_FOR_ONCE: Mapping[str, Any] = {name: getattr(JobOptions(), name) for name in ("dedupe", *WINDOW_OPTIONS)}


class JobAdder:
    """Stores the jobs of one scheduler. Raises as Scheduler.add_job says."""

    def __init__(self, connection: Connection, canceller: JobCanceller, clock: Clock) -> None:
        self._connection = connection
        self._canceller = canceller
        self._clock = clock
        self._defaults_of = (connection.options, connection.options.job_defaults())

    @property
    def defaults(self) -> JobOptions:
        """The defaults of the scheduler options in use, derived again when those change."""
        options: SchedulerOptions = self._connection.options
        known, defaults = self._defaults_of
        if known is not options:
            defaults = options.job_defaults()
            self._defaults_of = (options, defaults)
        return defaults

    def add(self, job: Any, data: Any, asked: Mapping[str, Any]) -> Added:
        """Stores one job, or returns the one that stands in its place under the options `dedupe` or of windows."""
        request = self.request(job, data, asked)
        tracing = self._tracing
        if tracing is None:
            return self._add(request)
        with tracing.sending(request.options.queue, [request.name]) as span:
            added = self._add(request)
            span.job(added[0]["_id"])
            return added

    def _add(self, request: JobRequest) -> Added:
        store = self._connection.store
        new = self._new(store, request, wake=store.wakeups.is_quiet())
        if request.options.is_compared:
            return self._joined(store, self._compared(store, request, new))
        if request.options.id is None:  # else another job may have this id
            announce_urgent(store, new.document)
        store.inserts.insert(new)
        wake_nodes(store, [new.document])
        return self._joined(store, (new.document, "created"))

    @property
    def _tracing(self) -> Tracing | None:
        """What makes spans, if the option `tracing` is on."""
        return tracing_of(self._connection.options.tracing)

    def add_many(self, jobs: Iterable[Any]) -> list[Added]:
        """Stores many: each a job, or a tuple of job, data and a mapping of options; all are checked before."""
        requests = [self.requested(number, entry) for number, entry in enumerate(jobs)]
        tracing = self._tracing
        if tracing is None or not requests:
            return self._add_many(requests)
        queues = {request.options.queue for request in requests}
        with tracing.sending(min(queues) if len(queues) == 1 else "many", [request.name for request in requests]):
            return self._add_many(requests)

    def _add_many(self, requests: Sequence[JobRequest]) -> list[Added]:
        store = self._connection.store
        new = self._new_jobs(store, requests)
        pairs = list(zip(requests, new, strict=True))
        _check_ids(store, [job.id for request, job in pairs if request.options.id is not None])
        plain = [job for request, job in pairs if not request.options.is_compared]
        store.inserts.insert_many(plain)
        wake_nodes(store, [job.document for job in plain])
        added: list[Added] = [
            self._compared(store, request, job) if request.options.is_compared else (job.document, "created")
            for request, job in pairs
        ]
        return [self._joined(store, one) for one in added]

    def add_once(self, job: Any, data: Any, asked: Mapping[str, Any]) -> Added:
        """Stores a job unless the same one is live; returns its document, and what was done."""
        request = self.request_once(job, data, asked)
        tracing = self._tracing
        if tracing is None:
            return self._add_once(request, asked)
        with tracing.sending(request.options.queue, [request.name]) as span:
            added = self._add_once(request, asked)
            span.job(added[0]["_id"])
            return added

    def _add_once(self, request: JobRequest, asked: Mapping[str, Any]) -> Added:
        ignore_data = request.options.ignore_data
        store = self._connection.store
        new = self._new(store, request)
        key = once_key(new.document["class"], new.document["data"], ignore_data)
        document = {**new.document, "once": key, "once_key": key}
        once = self._once(store, NewJob(new.id, document, self._encode(document)), asked, ignore_data)
        return self._joined(store, once)

    def request(self, job: Any, data: Any, asked: Mapping[str, Any]) -> JobRequest:
        """Returns a job as it is asked for, checked as far as this process can tell."""
        return JobRequest.of(job, data, asked, self.defaults)

    def request_once(self, job: Any, data: Any, asked: Mapping[str, Any]) -> JobRequest:
        """Returns the same for `add_once`."""
        for name in _NOT_FOR_ONCE:
            if asked.get(name):
                raise InvalidOptionError(f"option {name} is for add_job; add_job_once looks for running jobs, too")
        return self.request(job, data, {**asked, **_NOT_FOR_ONCE})  # a class may ask for it

    def new(self, job: Any, data: Any, asked: Mapping[str, Any]) -> NewJob:
        """Returns a job as `add` would store it; nothing is stored."""
        return self._new(self._connection.store, JobRequest.of(job, data, asked, self.defaults))

    def new_service(self, job: Any, data: Any, asked: Mapping[str, Any], service: Mapping[str, Any]) -> NewJob:
        """Returns the job of a service; nothing is stored."""
        request = JobRequest.of(job, data, asked, self.defaults, serves=True)
        new = self._new(self._connection.store, request)
        document = {**new.document, "service": dict(service)}
        document.pop("async", None)  # it has a worker for itself
        return NewJob(new.id, document, self._encode(document))

    def _compared(self, store: Store, request: JobRequest, new: NewJob) -> Added:
        """Stores a job unless the equal one that its options look for is there."""
        if request.options.unique_for:
            return add_unique(store, self._clock, new, request.options)
        if request.options.debounce:
            return add_debounced(store, self._clock, new, request.options)
        return self._deduped(store, new)

    def _deduped(self, store: Store, new: NewJob) -> Added:
        """Inserts under the unique key of queued jobs, or finds the job that holds it."""
        deadline = Deadline(PATIENCE, self._clock)
        while True:
            try:
                store.inserts.insert(new)
                wake_nodes(store, [new.document])
                return new.document, "created"
            except OnceTakenError:
                found = store.inserts.same_queued(new.document["dedupe"])
            if found is not None:
                return found, "existing"
            check_contention(new, deadline)  # it has been claimed just now, or no majority knows it yet

    def _once(self, store: Store, new: NewJob, asked: Mapping[str, Any], ignore_data: bool) -> Added:
        """Inserts under the unique key until it holds, or until the job that holds it is what was asked for."""
        inserts, deadline = store.inserts, Deadline(PATIENCE, self._clock)
        outcome: AddOutcome = "created"
        while True:
            found = inserts.same_live(new.document["class"], new.document["data"], new.document["once"], ignore_data)
            if found is not None and status_of(found).is_final:
                store.outbox.deliver(found["_id"])  # an ended run whose next one is not stored yet
                check_contention(new, deadline)
                continue
            if found is not None and is_same(found, new, asked):
                return found, "existing"
            if found is not None:
                if asked.get("id") is not None:
                    _check_ids(store, [new.id])  # no job is cancelled for one that cannot be stored
                self._canceller.cancel(found["_id"])
                outcome = "replaced"
            try:
                inserts.insert(new)
                wake_nodes(store, [new.document])
                return new.document, outcome
            except OnceTakenError:
                check_contention(new, deadline)

    def _new(self, store: Store, request: JobRequest, wake: bool = False) -> NewJob:
        document = request.document(store.clock.now(), wake)
        put_in_lists(store, [document])
        return self.checked(store, document)

    def checked(self, store: Store, document: Document) -> NewJob:
        """Returns a new job of this document. InvalidDataError; JobNotFoundError if its parent is not stored."""
        tracing = self._tracing
        if tracing is not None and (carrier := tracing.carrier()):
            document[FIELD] = carrier
        new = NewJob(document["_id"], document, self._encode(document))
        parent = document.get("parent")
        if parent is not None and store.jobs.get(parent) is None:
            raise JobNotFoundError(parent)  # before anything is written
        return new

    def _encode(self, document: Document) -> Any:
        return encode(document, self._connection.options.max_payload)

    def requested(self, number: int, entry: Any) -> JobRequest:
        """Returns one job of a batch as it is asked for; its error says which one it is."""
        parts = entry if isinstance(entry, tuple) else (entry,)
        try:
            if not 1 <= len(parts) <= 3:
                raise InvalidJobError("give a job, or a tuple of job, data and options")
            job, data, options = (*parts, None, None)[:3]
            return JobRequest.of(job, data, merged(options, {}), self.defaults)
        except (SchedulerError, TypeError) as error:
            error.args = (f"job {number} of the batch: {error}",)
            raise

    def _new_jobs(self, store: Store, requests: Sequence[JobRequest]) -> list[NewJob]:
        """Returns the documents of a batch; those that belong to a sequence get their turns together."""
        documents = [
            of_batch(number, request.document, store.clock.now(), False) for number, request in enumerate(requests)
        ]
        put_in_lists(store, documents)
        return [of_batch(number, self.checked, store, document) for number, document in enumerate(documents)]

    def _joined(self, store: Store, added: Added) -> Added:
        """Cancels a child whose parent has ended badly; read after the insert, so neither side misses the other."""
        document, outcome = added
        if outcome in ("existing", "debounced") or document.get("parent") is None:
            return added
        parent = store.jobs.get(document["parent"])
        if parent is None or status_of(parent) not in UNSUCCESSFUL:
            return added
        self._canceller.cancel(document["_id"])
        return store.jobs.get(document["_id"]) or document, outcome


def _check_ids(store: Store, chosen: Sequence[ObjectId]) -> None:
    """Refuses chosen ids of which one is taken, or given twice, before anything is written."""
    if len(set(chosen)) < len(chosen):
        raise DuplicateJobError(next(job_id for job_id in chosen if chosen.count(job_id) > 1))
    for start in range(0, len(chosen), 1000):
        taken = store.inserts.taken_ids(chosen[start : start + 1000])
        if taken:
            raise DuplicateJobError(taken[0])


def of_batch(number: int, make: Callable[..., T], *given: Any) -> T:
    """Makes a part of a job of a batch; its error says which job it is."""
    try:
        return make(*given)
    except SchedulerError as error:
        error.args = (f"job {number} of the batch: {error}",)
        raise


def merged(options: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options given as a mapping and as keywords, in one; naming one twice is an error."""
    if options is not None and not isinstance(options, Mapping):
        raise InvalidOptionError(f"options must be a mapping, not {type(options).__name__}")
    for name in options or {}:
        if name in given:
            raise InvalidOptionError(f"option {name} is given twice")
    return {**(options or {}), **given}


def is_same(found: Document, new: NewJob, asked: Mapping[str, Any]) -> bool:
    """Returns whether a live job is what was asked for: equal data, and equal options as far as they were given."""
    if fingerprint(found.get("data")) != fingerprint(new.document["data"]):
        return False
    here, there = stored_options(found), stored_options(new.document)
    return all(here.get(name) == there.get(name) for name in asked if name != "id")
