"""Adds a job, a batch, or a job once in a transaction: all is read and written in it, so an aborted one leaves nothing.

Each operation checks its arguments and prepares the documents at once, and returns the steps that are left. No message
wakes nodes: they see the jobs when the transaction commits, by their field `wake`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.errors import DuplicateJobError, JobNotFoundError
from taskscheduler.model.document import COMMITTED, COMMITTED_MANY, Document, NewJob
from taskscheduler.model.lifecycle import UNSUCCESSFUL, Status
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import encode
from taskscheduler.model.process_state import AddOutcome
from taskscheduler.model.sound import status_of
from taskscheduler.model.uniqueness import once_key, shared_key
from taskscheduler.operations.add import JobAdder, is_same, of_batch
from taskscheduler.operations.contention import Added
from taskscheduler.operations.control.naming import put_in_lists
from taskscheduler.operations.job_request import JobRequest
from taskscheduler.operations.windows import deleted_job, under
from taskscheduler.store import Store
from taskscheduler.store.transactions.jobs import JobSteps, SameJobs
from taskscheduler.store.transactions.preparing import prepare_sequences
from taskscheduler.store.transactions.sessions import conflict
from taskscheduler.store.transactions.steps import Apart, Steps

_MOST_SINGLE = 4  #: so many jobs of one call wake the nodes each for itself


class _Prepared(NamedTuple):
    """A checked job that is to be stored, unless another one stands in its place."""

    options: JobOptions
    new: NewJob


class TransactionAdder:
    """Adds the jobs of one scheduler in transactions. Raises as Scheduler.add_job says."""

    def __init__(self, store: Store, adder: JobAdder) -> None:
        self._store = store
        self._adder = adder
        self._steps = JobSteps(store.options, store.on_demand)

    def add(self, job: Any, data: Any, asked: Mapping[str, Any]) -> Steps[Added]:
        """Adds one job, or returns the one that stands in its place under the options `dedupe` or of windows."""
        request = self._adder.request(job, data, asked)
        return self._add(_Prepared(request.options, self._encoded(self._documents([request])[0])))

    def add_many(self, jobs: Iterable[Any]) -> Steps[list[Added]]:
        """Adds many; all are checked before."""
        requests = [self._adder.requested(number, entry) for number, entry in enumerate(jobs)]
        documents = self._documents(requests)
        encoded = [of_batch(number, self._encoded, document) for number, document in enumerate(documents)]
        return self._add_many([_Prepared(one.options, new) for one, new in zip(requests, encoded, strict=True)])

    def add_once(self, job: Any, data: Any, asked: Mapping[str, Any]) -> Steps[Added]:
        """Adds a job unless the same one is live."""
        request = self._adder.request_once(job, data, asked)
        document = self._encoded(self._documents([request])[0]).document  # with its data in their stored form
        key = once_key(document["class"], document["data"], request.options.ignore_data)
        keyed = self._encoded({**document, "once": key, "once_key": key})
        return self._add_once(_Prepared(request.options, keyed), asked)

    def insert(self, jobs: Sequence[NewJob]) -> Steps[None]:
        """Stores jobs that others have prepared; those that `wake` has marked wake the nodes."""
        yield from self._steps.prepare(job.document for job in jobs)
        yield from self._steps.insert(jobs)

    def _documents(self, requests: Sequence[JobRequest]) -> list[Document]:
        """Returns the documents of jobs, and sees to what cannot be done in a transaction.

        The turns of sequences are taken apart from it: else all who add to the same one would wait for its end.
        """
        store = self._store
        if any(one.options.unique_for for one in requests):
            store.windows.ensure()
        documents = [
            of_batch(number, one.document, store.clock.now(), False)
            if len(requests) > 1
            else one.document(store.clock.now(), False)
            for number, one in enumerate(requests)
        ]
        prepare_sequences(store.sequences, documents)
        put_in_lists(store, documents)
        wake(documents)
        return documents

    def _encoded(self, document: Document) -> NewJob:
        return NewJob(document["_id"], document, encode(document, self._store.options.max_payload))

    def _add(self, prepared: _Prepared) -> Steps[Added]:
        yield from self._check([prepared])
        added = yield from self._stored(prepared)
        return (yield from self._joined(added))

    def _add_many(self, prepared: Sequence[_Prepared]) -> Steps[list[Added]]:
        yield from self._check(prepared)
        plain = [one.new for one in prepared if not one.options.is_compared]
        yield from self._steps.insert(plain)
        found: list[Added] = []
        for one in prepared:
            compared = one.options.is_compared
            added = (yield from self._stored(one)) if compared else (one.new.document, "created")
            found.append((yield from self._joined(added)))
        return found

    def _check(self, prepared: Sequence[_Prepared]) -> Steps[None]:
        """Refuses ids that are taken and parents that are unknown, before the first write: else all would be lost."""
        yield from self._steps.prepare(one.new.document for one in prepared)
        chosen = [one.new.id for one in prepared if one.options.id is not None]
        if len(set(chosen)) < len(chosen):
            raise DuplicateJobError(next(job_id for job_id in chosen if chosen.count(job_id) > 1))
        taken = (yield from self._steps.taken_ids(chosen)) if chosen else []
        if taken:
            raise DuplicateJobError(taken[0])
        for parent in {one.options.parent for one in prepared if one.options.parent is not None}:
            if (yield from self._steps.get(parent)) is None:
                raise JobNotFoundError(parent)

    def _stored(self, prepared: _Prepared) -> Steps[Added]:
        options, new = prepared.options, prepared.new
        if options.unique_for:
            return (yield from self._unique(new, options))
        found: Document | None = None
        outcome: AddOutcome = "existing"
        if options.debounce:
            document = new.document
            put_off = self._steps.put_off(document["dedupe"], document["data"], options.debounce, options.debounce_max)
            found, outcome = (yield from put_off), "debounced"
        elif options.dedupe:
            found = yield from self._steps.same_queued(new.document["dedupe"])
        if found is not None:
            return found, outcome
        yield from self._steps.insert([new])
        return new.document, "created"

    def _unique(self, new: NewJob, options: JobOptions) -> Steps[Added]:
        """Stores a job and opens a window for it, or returns the job that was accepted in an open one."""
        name, data, steps = new.document["class"], new.document["data"], self._steps
        key = shared_key(name, data, options.ignore_data, options.unique_key)
        window = yield from steps.accept(key, new.id, options.unique_for)
        if window.job != new.id:
            found = yield from steps.get(window.job)
            if found is not None or window.is_settled:
                return found or deleted_job(new, window.job), "existing"
            new = under(new, window.job, self._store.options.max_payload)  # its adder has died, or stores it just now
            yield from steps.settle(key, options.unique_for)
        yield from steps.insert([new])
        return new.document, "created"

    def _add_once(self, prepared: _Prepared, asked: Mapping[str, Any]) -> Steps[Added]:
        yield from self._check([prepared])
        new, options = prepared.new, prepared.options
        outcome: AddOutcome = "created"
        document = new.document
        wanted = SameJobs(document["class"], document["data"], document["once"], options.ignore_data)
        found = yield from self._steps.same_live(wanted)
        if found is not None:
            if status_of(found).is_final:
                yield from self._settle(found["_id"])
            if is_same(found, new, asked):
                return found, "existing"
            yield from self._steps.cancel(found["_id"])
            outcome = "replaced"
        yield from self._steps.insert([new])
        return (yield from self._joined((document, outcome)))

    def _settle(self, job_id: ObjectId) -> Steps[None]:
        """Has the next run of an ended one stored, which this transaction cannot see: it has to begin again."""
        yield Apart(lambda: self._store.outbox.deliver(job_id))
        raise conflict("the next run of the same job was not stored yet")

    def _joined(self, added: Added) -> Steps[Added]:
        """Cancels a child whose parent has ended badly. If that ends later, nodes do when they see the child."""
        document, outcome = added
        if outcome in ("existing", "debounced") or document.get("parent") is None:
            return added
        parent = yield from self._steps.get(document["parent"])
        if parent is None or status_of(parent) not in UNSUCCESSFUL:
            return added
        cancelled = yield from self._steps.cancel(document["_id"])
        return cancelled or document, outcome


def wake(documents: Sequence[Document]) -> None:
    """Marks new documents so that nodes see to them when the transaction commits.

    Of many jobs that one search finds, one wakes the nodes for all.
    """
    alike = set[tuple[Any, ...]]()
    for document in documents:
        if len(documents) <= _MOST_SINGLE or "parent" in document:
            document["wake"] = COMMITTED
            continue
        kind = (
            document["queue"],
            document.get("blocked"),
            document["status"] == Status.POSTPONED,
            "async" in document or document["options"].get("force_spawn"),
        )
        if kind not in alike:
            alike.add(kind)
            document["wake"] = COMMITTED_MANY
