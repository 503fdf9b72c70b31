"""One attempt of one job: build it, set_up, start, tear_down, result."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, Protocol

from bson import ObjectId

from taskscheduler.declarations.registry import REGISTRY, JobSpec
from taskscheduler.errors import InvalidJobError
from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.forks import leave_fork
from taskscheduler.jobs.job import Job, Runtime
from taskscheduler.model.attempt_result import AttemptResult, Outcome, failure, located, storable
from taskscheduler.model.exception_texts import JobInterrupted as JobInterrupted
from taskscheduler.model.exception_texts import loggable, try_to_log
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.raised import NO_RULES, ExceptionRules
from taskscheduler.process import Process

logger = logging.getLogger(__name__)


class Container(Protocol):
    """Creates the instances of jobs: anything with `get(cls)`, as in PSR-11."""

    def get(self, cls: type[Job], /) -> Any: ...


def find(name: str) -> JobSpec:
    """Returns the registered job; InvalidJobError says what to do if there is none. Never imports anything."""
    spec = REGISTRY.find(name)
    if spec is None:
        raise _unknown(name)
    return spec


def refusal(name: str) -> AttemptResult:
    """Returns the result of an attempt at a job that is not registered here; the node decides what becomes of it."""
    ending, content = failure(_unknown(name))
    return AttemptResult(ending, {**content, "unknown": True})


def failed(name: str, error: BaseException) -> AttemptResult:
    """Returns the result of an attempt that raised: by the rules of its class, and with the place in its own code."""
    spec = REGISTRY.find(name)
    return failure(error) if spec is None else located(failure(error, spec.rules), error, name, spec.cls.__module__)


def _unknown(name: str) -> InvalidJobError:
    known = ", ".join(REGISTRY.names()[:20]) or "none"
    return InvalidJobError(
        f"job {name!r} is not registered on this node; start it with --jobs and the module that defines it "
        f"(registered here: {known})"
    )


def instance(
    document: dict[str, Any],
    runtime: Runtime,
    container: Container | None,
    lenient: bool = False,
    batch: BatchRun | None = None,
) -> Job:
    """Returns the job object for one attempt, with its data, id and attempt set, or the items of a batch.

    InvalidArgumentsError if the data do not fit the declaration of the class; `lenient` passes them as they are stored.
    InvalidJobError if a service was added as a job, or a job as a service, by a program that knew its name alone.
    """
    spec = find(document["class"])
    if not lenient and (spec.is_service or "service" in document):
        spec.check_kind("service" in document)
    batch = None if spec.batch is None or lenient else batch or BatchRun([document])
    if batch is not None:
        batch.load(spec)
    data = spec.load(document.get("data"), lenient) if batch is None else None
    made = spec.cls() if container is None else container.get(spec.cls)
    if not isinstance(made, Job):
        raise InvalidJobError(f"the container gave {type(made).__name__} for {spec.name}, which is not a Job")
    if container is not None:
        made._flow = made._commits = None  # it may give one object again
    made.id, made.attempt, made.data, made._batch = document["_id"], document["attempt"], data, batch
    if "schedule" in document:
        made.schedule, made.scheduled_at = document["schedule"], document.get("scheduled_at")
    if "flow" in document and isinstance(flow := document["flow"], ObjectId):
        made._flow = flow, str(document.get("label", ""))
    made._runtime = runtime
    return made


def execute(
    document: dict[str, Any],
    runtime: Runtime,
    container: Container | None,
    max_payload: int,
    guard: AbstractContextManager[Any] | None = None,
    batch: BatchRun | None = None,
) -> AttemptResult:
    """Runs the job, all but `tear_down` within the `guard`. JobInterrupted passes through, after `tear_down`.

    Context variables that the job sets are gone after it, like those of a task. With a `batch`, `document` is its first
    job, and the result is that of the jobs that have none of their own in the batch.
    """
    return copy_context().run(_execute, document, runtime, container, max_payload, guard, batch)


def _execute(
    document: dict[str, Any],
    runtime: Runtime,
    container: Container | None,
    max_payload: int,
    guard: AbstractContextManager[Any] | None,
    batch: BatchRun | None,
) -> AttemptResult:
    owner = os.getpid()
    try:
        if guard is None:  # without limits, which cost more than all of this
            job = instance(document, runtime, container, False, batch)
        else:
            with guard:
                job = instance(document, runtime, container, False, batch)
    except JobInterrupted:
        raise
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: a job must not take its worker with it
        leave_fork(owner, error)
        return failed(document["class"], error)
    if os.getpid() != owner:
        leave_fork(owner)
    run = _worked if type(job).tear_down is Job.tear_down else _worked_and_torn_down
    result = run(job, max_payload, guard, owner)
    return result if job._batch is batch else of_one(job, result)


def _worked(job: Job, max_payload: int, guard: AbstractContextManager[Any] | None, owner: int) -> AttemptResult:
    try:
        if guard is None:
            job.set_up()
            result = job.start() if job._batch is None else started(job)
        else:
            with guard:
                job.set_up()
                result = started(job)
    except JobInterrupted:
        raise
    except BaseException as error:  # as above
        leave_fork(owner, error)
        return committed(job, error) or failed(job.name, error)
    if result is None and job._batch is None and job._commits is None:  # as of most jobs
        return AttemptResult(Ending.SUCCEEDED, {})
    return committed(job) or stored(job, result, max_payload)


def started(job: Job) -> Any:
    """Calls `start`; returns what that returns."""
    return job.start() if job._batch is None else job._batch.start(job)


def stored(job: Job, result: Any, max_payload: int) -> AttemptResult:
    """Returns how a job ended that has returned this result, or how a batch did."""
    if job._batch is not None:
        return job._batch.returned(result, max_payload)
    if result is None:  # as of most jobs: nothing can be wrong with it, so no rules are looked up
        return AttemptResult(Ending.SUCCEEDED, {})
    return storable(job.name, result, max_payload, rules_of(job.name))


def of_one(job: Job, run: AttemptResult) -> AttemptResult:
    """Returns how the only job of a batch ended, as its run ended so."""
    return run if job._batch is None else job._batch.outcomes(run).get(0, run)


def committed(job: Job, error: BaseException | None = None) -> AttemptResult | None:
    """Returns the result of a job that has committed: an error after that is logged and changes nothing."""
    result = None if job._commits is None else job._commits.result
    if result is not None and error is not None:
        facts = {"job": str(job.id), "attempt": job.attempt}
        try_to_log(logger.error, "job failed after its commit; it is DONE", exc_info=loggable(error), extra=facts)
    return result


def _worked_and_torn_down(
    job: Job, max_payload: int, guard: AbstractContextManager[Any] | None, owner: int
) -> AttemptResult:
    """An interruption may come between any two lines: `tear_down` is called exactly once all the same."""
    entered, result = False, None
    try:
        result = _worked(job, max_payload, guard, owner)
        if os.getpid() != owner:
            return result  # the job has forked, and both come back: only the worker cleans up
        entered = True
        job.tear_down(outcome_of(result))
    except JobInterrupted:
        if not entered and os.getpid() == owner:
            _tear_down_interrupted(job)
        raise
    except BaseException as error:  # as above
        leave_fork(owner, error)
        return after_tear_down(job, result, error)
    return result


def _tear_down_interrupted(job: Job) -> None:
    owner = os.getpid()
    try:
        job.tear_down(Outcome(interruption(job)))
    except JobInterrupted:
        raise
    except BaseException as error:  # as above
        leave_fork(owner, error)
        after_tear_down(job, None, error)


def interruption(job: Job) -> Status:
    """Returns why the job was interrupted."""
    return Status.WAITING if job._runtime is None else job._runtime.interruption()


def rules_of(name: str) -> ExceptionRules:
    """Returns after which exceptions the job of this name is tried again, as far as it is registered here."""
    spec = REGISTRY.find(name)
    return NO_RULES if spec is None else spec.rules


_OUTCOMES = {Ending.SUCCEEDED: Status.DONE, Ending.SNOOZED: Status.POSTPONED, Ending.RETURNED: Status.WAITING}


def outcome_of(result: AttemptResult) -> Outcome:
    """Returns the outcome that `tear_down` gets."""
    status = _OUTCOMES.get(result.ending, Status.FAILED)
    return Outcome(status, result.content.get("result"), result.content.get("error"))


def after_tear_down(job: Job, result: AttemptResult | None, error: BaseException) -> AttemptResult:
    """Returns the result after `tear_down` raised: that ends a job which had succeeded, else it is logged."""
    if result is not None and result.ending is Ending.SUCCEEDED:
        return committed(job, error) or failed(job.name, error)
    facts = {"job": str(job.id), "attempt": job.attempt}
    try_to_log(logger.error, "tear_down failed", exc_info=loggable(error), extra=facts)
    return result or failed(job.name, error)


def notify(document: dict[str, Any], runtime: Runtime, container: Container | None, process: Process) -> Any:
    """Calls the notification hook of a job that has ended; the returned value may be a coroutine."""
    job = instance(document, runtime, container, lenient=True)
    return copy_context().run(job.notification, process.status, process)
