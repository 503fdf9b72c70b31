"""Job, and the services that a worker offers to a running job."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol

from bson import ObjectId

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.declarations.batches import check_takes_items
from taskscheduler.declarations.registry import REGISTRY, JobSpec
from taskscheduler.errors import InvalidJobError, InvalidOptionError, InvalidStateError, JobFailure, SchedulerError
from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.commits import Commit, CommitState, RunningAttempt, commit_with, commit_with_async
from taskscheduler.jobs.flow import AsyncJobFlow, JobFlow
from taskscheduler.jobs.resumable import ResumableJob
from taskscheduler.model.attempt_result import Outcome
from taskscheduler.model.checks import Seconds
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.progress import checked_progress
from taskscheduler.model.raised import Exceptions, JobSnoozed
from taskscheduler.model.solo import Solo, solo_option
from taskscheduler.operations.flows.extend import Running
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs for one attempt: every record carries `job` (the id as text), `job_name` and `attempt`.

    In a batch they are those of its first job, and `batched` is how many jobs run together.
    """

    def __init__(
        self, logger: logging.Logger, job_id: ObjectId, name: str, attempt: int, batch: BatchRun | None = None
    ) -> None:
        together = {} if batch is None else {"batched": len(batch.items)}
        super().__init__(logger, {"job": str(job_id), "job_name": name, "attempt": attempt, **together})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Keeps what the caller gives as `extra`, which the adapters of Python before 3.13 throw away."""
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}


class Runtime(Protocol):
    """The services that a worker offers to the job it runs."""

    def report(self, progress: float | None, message: str | None) -> None:
        """Passes on a sign of life, with the progress and message as far as they changed."""
        ...

    def scheduler(self) -> Scheduler:
        """Returns a scheduler on the worker's own connection, made on first use."""
        ...

    def async_scheduler(self) -> AsyncScheduler:
        """Returns the same for the event loop of async jobs."""
        ...

    def interruption(self) -> Status:
        """Returns why the job has to end now: CANCELED, TIMEOUT, or WAITING when it is handed back."""
        ...

    def attempt(self) -> RunningAttempt:
        """Returns what the worker knows of the attempt; SchedulerError if none runs."""
        ...


#: the names of classes that jobs are built on, and which are no jobs themselves
FUNCTION_JOB, ASYNC_FUNCTION_JOB = "taskscheduler.FunctionJob", "taskscheduler.AsyncFunctionJob"

BATCH_FUNCTION_JOB, ASYNC_BATCH_FUNCTION_JOB = "taskscheduler.BatchFunctionJob", "taskscheduler.AsyncBatchFunctionJob"

SERVICE = "taskscheduler.Service"

_BASES = (FUNCTION_JOB, ASYNC_FUNCTION_JOB, BATCH_FUNCTION_JOB, ASYNC_BATCH_FUNCTION_JOB, SERVICE)


class Job(ResumableJob):
    """The base class of a job: override `start`.

    A subclass is registered under `name` (default: "module.QualName") as soon as its module is imported; nodes run
    registered jobs only. An exception of any kind fails the attempt; the value that `start` returns is the result
    and may be anything that BSON can hold, a path, a set, a dataclass and so on. An attempt is `set_up`, `start`,
    `tear_down`, in this order.

    An annotation `data: X` declares the data of the job: a plain type, a TypedDict, a dataclass or a pydantic model.
    Anything else is refused when the job is added, as far as the class is known there, and before it runs; `self.data`
    is then what that type says: an instance of the dataclass or model, with paths, dates and sets in its fields.

    Job options that stand on the class, such as `retry = 3`, are the defaults of this job. InvalidOptionError when the
    class is defined: a wrong value, or an attribute that looks like a mistyped option.

    `start` may be a coroutine function, and then the other two, too: many such jobs run at once in one worker, up to
    the node's option `async_jobs`. They must never block: while one does, the others stand still. To cancel or time
    out one raises asyncio.CancelledError in it.

    With `batch = 100` one run takes up to 100 queued jobs of the class: `start(self, items)` gets the data of each. It
    returns None, or a list with a result for each item. What it raises ends all jobs that `fail_item` has not failed.
    With `batch_wait = 0.2` the first job waits so many seconds for others. `data` is None then, and `id` and `attempt`
    are those of the first job.
    """

    name: ClassVar[str] = ""
    solo: ClassVar[Solo] = False  #: never two at once: of this class (True), or of all that share this key (a text)
    retry_on: ClassVar[Exceptions] = ()  #: only after these exceptions is it tried again; empty: after all
    discard_on: ClassVar[Exceptions] = ()  #: after these it is not
    data: Any = None  #: what was given to add_job
    id: ObjectId  #: the job's id
    attempt: int = 1  #: the number of this attempt; (id, attempt) never starts twice
    schedule: str | None = None  #: the schedule that this is a run of
    scheduled_at: datetime | None = None  #: the time that this run of the schedule is for, in UTC, without jitter
    progress_target: float = 100  #: the `completed` at which the job is done: 120 files, for example
    _runtime: Runtime | None = None
    _commits: CommitState | None = None  #: None until the first commit
    _flow: tuple[ObjectId, str] | None = None  #: the flow of the job, and its label there
    _is_service: ClassVar[bool] = False
    __job__: ClassVar[JobSpec | None] = None  #: None for classes that are no jobs themselves

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = f"{module_name(cls.__module__)}.{cls.__qualname__}"
        if not isinstance(cls.name, str) or not cls.name:
            raise InvalidJobError(f"the name of the job class {cls.__qualname__} must be a text that is not empty")
        _check_solo(cls)
        is_async = _check_async(cls)
        cls.__job__ = None if cls.name in _BASES else cls._make_spec(is_async)
        if cls.__job__ is not None:
            cls._check_batch(cls.__job__)
            REGISTRY.add(cls.__job__)

    @classmethod
    def _check_batch(cls, spec: JobSpec) -> None:
        """Raises InvalidJobError for a job with the option `batch` that cannot take a list of items."""
        if spec.batch is not None:
            check_takes_items(cls.name, spec.function or cls.start, is_method=spec.function is None)

    @classmethod
    def _make_spec(cls, is_async: bool) -> JobSpec:
        return JobSpec(cls, Job, is_async=is_async, is_service=cls._is_service)

    def set_up(self) -> Any:
        """Called before `start`; what it raises fails the attempt."""

    def start(self, *_items: Any, **_named: Any) -> Any:
        """Does the work; what you return is stored as the job's result.

        It takes nothing; in a class with the option `batch`, `start(self, items)` gets the data of many jobs.
        """
        raise InvalidJobError(f"job {self.name} does not define start()")

    def tear_down(self, outcome: Outcome) -> Any:
        """Cleans up: always called once `set_up` has begun, also when it or `start` raised or the job is interrupted.

        A job that is cancelled, times out or is handed back has `kill_grace` (0.5 s) for it. What this raises fails a
        job that had succeeded, else it is logged. Nothing can be called when the worker itself dies or is killed.
        """

    def notification(self, status: Status, process: Process) -> Any:
        """Called in a worker, once, when the job has reached its final status."""

    @property
    def scheduler(self) -> Scheduler:
        """A scheduler on the database that this job came from; connects on first use."""
        return self._running_in.scheduler()

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """The logger of the job's module; its records carry `job` (the id), `job_name` and `attempt`."""
        return JobLogger(logging.getLogger(type(self).__module__), self.id, self.name, self.attempt, self._batch)

    def fail(self, message: str) -> NoReturn:
        """Ends the attempt as a failure: raises JobFailure, which is stored with this message and no traceback."""
        raise JobFailure(message)

    def snooze(self, seconds: Seconds | None = None, *, until: datetime | None = None, reason: str = "") -> NoReturn:
        """Ends the attempt, and has the job begin again later: in so many seconds, or `until` an aware date.

        It is POSTPONED as if it had not been started: that uses no retry, and is counted in `process.snoozes`. People
        see the `reason`. It raises an exception that is not an Exception. InvalidOptionError for other values,
        InvalidStateError in a service.
        """
        if self._is_service:
            raise InvalidStateError("a service cannot put itself off; let it wait with self.wait(seconds)")
        raise JobSnoozed(seconds, until, reason)

    @property
    def database(self) -> Any:
        """The pymongo Database that this job came from, for its own writes; in an async job an AsyncDatabase.

        Dates that it reads are aware, and writes wait for a majority.
        """
        running = self._running_in
        return running.async_scheduler().database if self._is_async else running.scheduler().database

    def commit(self, result: Any = None) -> Commit:
        """Returns a block, for `with` or in an async job `async with`, that ends the job: it gives a pymongo session.

        What is written in this session, on `self.database` or others of its client, and the end of the job as DONE
        with this `result` are one transaction, behind the fence of the attempt: both are there, or neither. An
        exception in the block aborts the transaction and goes on, and so does an error of the commit, such as a write
        conflict: see commit_with. If the job is not this attempt's any more, the attempt ends. What the job does after
        the block changes nothing. InvalidStateError for a second commit, and in a service. InvalidDataError.
        """
        if self._is_service:
            raise InvalidStateError("a service cannot commit: it ends only when somebody stops it")
        self._check_alone("commit")
        self._commits = self._commits or CommitState(self._is_async)
        return Commit(self._running_in, self._commits, result)

    def commit_with(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Calls `function(session, *args)` in a block of `commit` and returns what it returns, the job's result, too.

        After an error that may pass, a write conflict or an election, it is called again in a new transaction, for up
        to 120 s. In an async job it is a coroutine function, and so is this.
        """
        return (commit_with_async if self._is_async else commit_with)(self.commit(), function, args)

    @property
    def _is_async(self) -> bool:
        return self.__job__ is not None and self.__job__.is_async

    @property
    def async_scheduler(self) -> AsyncScheduler:
        """The scheduler of an async job: on the same connection as `scheduler`, and it does not block the loop."""
        return self._running_in.async_scheduler()

    @property
    def flow(self) -> Any:
        """The flow that this job belongs to, with `add(...)` for more jobs: a JobFlow, of an async job an AsyncJobFlow.

        InvalidStateError for a job of no flow.
        """
        self._check_alone("flow")
        if self._flow is None:
            raise InvalidStateError(f"job {self.name} belongs to no flow")
        flow_id, label = self._flow
        self._commits = self._commits or CommitState(self._is_async)
        running = Running(self.id, self.attempt, flow_id)
        if self.__job__ is not None and self.__job__.is_async:
            return AsyncJobFlow(running, label, self.async_scheduler, self._commits)
        return JobFlow(running, label, self.scheduler, self._commits)

    @property
    def _running_in(self) -> Runtime:
        if self._runtime is None:
            raise SchedulerError("a job has a scheduler only while a worker runs it")
        return self._runtime

    def update_progress(
        self, progress: float | None = None, message: str | None = None, *, completed: float | None = None
    ) -> None:
        """Reports how far the job is, or with no argument just that it lives.

        Either in percent (0 to 100), or by what is `completed` of its `progress_target`: 30 of 120 files are 25 %.
        Writes are limited to one per `progress_rate_limit`; the last value always arrives. Raises ValueError for a
        progress outside 0..100, or more completed than the target.
        """
        progress = checked_progress(progress, message, completed, self.progress_target)
        if self._runtime is not None:
            self._runtime.report(progress, message)


def _check_solo(cls: type[Job]) -> None:
    try:
        solo_option("solo", cls.solo)
    except InvalidOptionError as error:
        raise InvalidJobError(f"the job class {cls.__qualname__}: {error}") from None


def check_no_generator(start: Any, name: str) -> None:
    """Raises InvalidJobError for a function that yields: nothing of it would run."""
    if inspect.isgeneratorfunction(start) or inspect.isasyncgenfunction(start):
        raise InvalidJobError(f"job {name} yields, so nothing would run; let it return its result")


def _check_async(cls: type[Job]) -> bool:
    """Returns whether `start` is a coroutine function; if not, nothing around it may be one."""
    check_no_generator(cls.start, cls.name)
    if inspect.iscoroutinefunction(cls.start):
        return True
    for hook in ("set_up", "tear_down"):
        if inspect.iscoroutinefunction(getattr(cls, hook)):
            raise InvalidJobError(f"{hook} of job {cls.name} is a coroutine function, so start must be one, too")
    return False


def module_name(module: str) -> str:
    """Returns the importable name of a module, also when it is being run as a script."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    path = getattr(main, "__file__", None)
    return Path(path).stem if path else module
