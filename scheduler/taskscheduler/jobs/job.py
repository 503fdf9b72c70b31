"""Job, @job and what a worker lends to a running job. Durable steps come beside it."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, TypeVar, cast, overload

from bson import ObjectId

from taskscheduler.declarations.data_schema import DataSchema
from taskscheduler.declarations.signature import Signature
from taskscheduler.errors import InvalidJobError, InvalidOptionError, JobFailure, SchedulerError
from taskscheduler.model.attempt_result import Outcome
from taskscheduler.model.progress import checked_progress
from taskscheduler.model.solo import Solo, solo_option

if TYPE_CHECKING:
    from taskscheduler.aio.scheduler import AsyncScheduler
    from taskscheduler.model.lifecycle import Status
    from taskscheduler.process import Process
    from taskscheduler.scheduler import Scheduler


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs for one attempt: every record carries `job` (the id as text), `job_name` and `attempt`."""

    def __init__(self, logger: logging.Logger, job_id: ObjectId, name: str, attempt: int) -> None:
        super().__init__(logger, {"job": str(job_id), "job_name": name, "attempt": attempt})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Keep what the caller gives as `extra`, which the adapters of Python before 3.13 throw away."""
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}


F = TypeVar("F", bound=Callable[..., Any])


class Runtime(Protocol):
    """What a worker lends to the job it runs."""

    def report(self, progress: float | None, message: str | None) -> None:
        """Pass on a sign of life, with the progress and message as far as they changed."""
        ...

    def scheduler(self) -> Scheduler:
        """A scheduler on the worker's own connection, made on first use."""
        ...

    def async_scheduler(self) -> AsyncScheduler:
        """The same for the event loop of async jobs."""
        ...

    def interruption(self) -> Status:
        """Why the job has to end now: CANCELED, TIMEOUT, or WAITING when it is handed back."""
        ...


class Registry:
    """The jobs that may run here, by name. Filled by imports, never from the database."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Job]] = {}

    def add(self, cls: type[Job]) -> None:
        known = self._classes.get(cls.name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InvalidJobError(
                f"the job name {cls.name!r} is taken by {known.__module__}.{known.__qualname__}; "
                f"give {cls.__module__}.{cls.__qualname__} another one"
            )
        self._classes[cls.name] = cls

    def find(self, name: str) -> type[Job] | None:
        """The class registered under `name`, if there is one."""
        return self._classes.get(name)

    def names(self) -> list[str]:
        """All registered names in order."""
        return sorted(self._classes)


REGISTRY = Registry()

#: bases of jobs, no jobs themselves
_FUNCTION_JOB, _ASYNC_FUNCTION_JOB = "taskscheduler.FunctionJob", "taskscheduler.AsyncFunctionJob"

SERVICE = "taskscheduler.Service"

_BASES = ("", _FUNCTION_JOB, _ASYNC_FUNCTION_JOB, SERVICE)


class Job:
    """The base class of a job: override `start`.

    A subclass is registered under `name` (default: "module.QualName") as soon as its module is imported; nodes run
    registered jobs only. An exception of any kind fails the attempt; the value that `start` returns is the result
    and may be anything that BSON can hold. An attempt is `set_up`, `start`, `tear_down`, in this order.

    An annotation `data: X` declares what is to be given: a plain type, a TypedDict, a dataclass or a pydantic model.
    Anything else is refused when the job is added, as far as the class is known there, and before it runs; `self.data`
    is then an instance of that dataclass or model.

    `start` may be a coroutine function, and then the other two, too: many such jobs run at once in one worker, up to
    the node's option `async_jobs`. They must never block: while one does, the others stand still. To cancel or time
    out one raises asyncio.CancelledError in it.
    """

    name: ClassVar[str] = ""
    solo: ClassVar[Solo] = False  #: never two at once: of this class (True), or of all that share this key (a text)
    data: Any = None  #: what was given to add_job
    id: ObjectId  #: the job's id
    attempt: int = 1  #: the number of this attempt; (id, attempt) never starts twice
    progress_target: float = 100  #: the `completed` at which the job is done: 120 files, for example
    _runtime: Runtime | None = None
    _declaration: ClassVar[Signature | DataSchema]  #: see `declaration`
    _is_async: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = f"{_module_name(cls.__module__)}.{cls.__qualname__}"
        if not isinstance(cls.name, str) or not cls.name:
            raise InvalidJobError(f"the name of the job class {cls.__qualname__} must be a text that is not empty")
        _check_solo(cls)
        cls._is_async = _check_async(cls)
        if cls.name not in _BASES:
            REGISTRY.add(cls)

    def set_up(self) -> Any:
        """Called before `start`; what it raises fails the attempt."""

    def start(self) -> Any:
        """Do the work; what you return is stored as the job's result."""
        raise InvalidJobError(f"job {self.name} does not define start()")

    def tear_down(self, outcome: Outcome) -> Any:
        """Clean up: always called once `set_up` has begun, also when it or `start` raised or the job is interrupted.

        A job that is cancelled, times out or is handed back has `kill_grace` (0.5 s) for it. What this raises fails a
        job that had succeeded, else it is logged. Nothing can be called when the worker itself dies or is killed.
        """

    def notification(self, status: Status, process: Process) -> Any:
        """Called in a worker, once, when the job has reached its final status."""

    @property
    def scheduler(self) -> Scheduler:
        """A scheduler on the database that this job came from; connects on first use."""
        if self._runtime is None:
            raise SchedulerError("a job has a scheduler only while a worker runs it")
        return self._runtime.scheduler()

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """The logger of the job's module; its records carry `job` (the id), `job_name` and `attempt`."""
        return JobLogger(logging.getLogger(type(self).__module__), self.id, self.name, self.attempt)

    def fail(self, message: str) -> NoReturn:
        """End the attempt as a failure: raises JobFailure, which is stored with this message and no traceback."""
        raise JobFailure(message)

    @property
    def async_scheduler(self) -> AsyncScheduler:
        """What `scheduler` is to others, for async jobs: on the same connection, and it does not block the loop."""
        if self._runtime is None:
            raise SchedulerError("a job has a scheduler only while a worker runs it")
        return self._runtime.async_scheduler()

    def update_progress(
        self, progress: float | None = None, message: str | None = None, *, completed: float | None = None
    ) -> None:
        """Say how far the job is, or with no argument just that it lives.

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


def _check_no_generator(start: Any, name: str) -> None:
    if inspect.isgeneratorfunction(start) or inspect.isasyncgenfunction(start):
        raise InvalidJobError(f"job {name} yields, so nothing would run; let it return its result")


def _check_async(cls: type[Job]) -> bool:
    """Whether `start` is a coroutine function; if not, nothing around it may be one."""
    _check_no_generator(cls.start, cls.name)
    if inspect.iscoroutinefunction(cls.start):
        return True
    for hook in ("set_up", "tear_down"):
        if inspect.iscoroutinefunction(getattr(cls, hook)):
            raise InvalidJobError(f"{hook} of job {cls.name} is a coroutine function, so start must be one, too")
    return False


class FunctionJob(Job):
    """What `@job` makes of a function."""

    name = _FUNCTION_JOB
    function: ClassVar[Callable[..., Any]]

    def start(self) -> Any:
        return self._call()

    def _call(self) -> Any:
        declared = self.declaration()
        args, named = declared.given(self.data)
        lent = {"job": self} if declared.wants_job else {}
        return type(self).function(*args, **named, **lent)

    @classmethod
    def declaration(cls) -> Signature:
        """What the function takes."""
        return cast(Signature, declaration(cls))


def declaration(cls: type[Job]) -> Signature | DataSchema:
    """What a job takes, read from its annotations on first use."""
    found = cls.__dict__.get("_declaration")
    if found is None:
        function = cls.function if issubclass(cls, FunctionJob) else None
        found = DataSchema(cls.name, cls) if function is None else Signature(cls.name, function)
        cls._declaration = found
    return found


class AsyncFunctionJob(FunctionJob):
    """What `@job` makes of a coroutine function."""

    name = _ASYNC_FUNCTION_JOB

    async def start(self) -> Any:
        return await self._call()


@overload
def job(function: F) -> F: ...


@overload
def job(*, name: str | None = None, solo: Solo = False) -> Callable[[F], F]: ...


def job(function: F | None = None, *, name: str | None = None, solo: Solo = False) -> F | Callable[[F], F]:
    """Register a function as a job; it stays an ordinary function and is added with `add_job(function, data)`.

    The data becomes its arguments: a mapping by name, a list by position, anything else as the only one. A keyword-only
    parameter `job` receives the running Job (id, attempt, update_progress, logger, fail, scheduler). Data that are not
    what the signature and its annotations ask for are refused when the job is added, and before it runs. `solo` as for
    classes.
    """

    def register(function: F) -> F:
        _check_function(function)
        if name is None and function.__name__ == "<lambda>":
            raise InvalidJobError(
                "a lambda has no name to be found by, and others would take its place: @job(name=...)"
            )
        qualified = f"{_module_name(function.__module__)}.{function.__qualname__}"
        body = {
            "name": qualified if name is None else name,
            "solo": solo,
            "function": staticmethod(function),
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
        }
        base = AsyncFunctionJob if inspect.iscoroutinefunction(function) else FunctionJob
        function.__job__ = type(function.__name__, (base,), body)  # type: ignore[attr-defined]
        return function

    return register if function is None else register(function)


def _check_function(function: Any) -> None:
    if isinstance(function, type):
        raise InvalidJobError(
            f"@job is for functions, not for the class {function.__qualname__}; a Job needs no decorator"
        )
    if not callable(function) or not hasattr(function, "__qualname__"):
        raise InvalidJobError(f"@job is for functions, not for {function!r:.60}; a name is given as @job(name=...)")
    if not hasattr(function, "__dict__") or inspect.ismethod(function):
        raise InvalidJobError(f"@job is for functions, not for {function!r:.60}; let a function call it")
    _check_no_generator(function, function.__qualname__)


def _module_name(module: str) -> str:
    """The importable name of a module, also when it is being run as a script."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    path = getattr(main, "__file__", None)
    return Path(path).stem if path else module


def job_name(job: Any) -> str:
    """The registered name of a Job subclass, a `@job` function or a name; InvalidJobError for anything else."""
    if isinstance(job, str):
        if not job:
            raise InvalidJobError("the name of a job must not be empty")
        return job
    cls = getattr(job, "__job__", job)
    if isinstance(cls, type) and issubclass(cls, Job) and cls.name not in _BASES:
        return cls.name
    what = f"class {job.__qualname__}" if isinstance(job, type) else f"{type(job).__name__} {job!r:.80}"
    raise InvalidJobError(f"{what} is not a job: give a subclass of Job, a function decorated with @job or a name")


def is_async(cls: type[Job] | None) -> bool:
    """Whether jobs of this class run in the event loop of a worker, many at once."""
    return cls is not None and cls._is_async


def has_notification(cls: type | None) -> bool:
    """Whether the job class wants to be told about its final status."""
    hook = getattr(cls, "notification", None)
    return hook is not None and hook is not Job.notification


def job_class(job: Any) -> type[Job] | None:
    """The class behind a job given as class, function or name, as far as this process knows it."""
    if isinstance(job, str):
        return REGISTRY.find(job)
    return cast("type[Job]", getattr(job, "__job__", job))
