"""Calling a job like a function: with plain arguments, for its result, alone or as a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, NamedTuple, Protocol, overload

from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.declarations.signature import of_class, undeclared
from taskscheduler.declarations.typed import P, R_co, TypedJob
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.options import JobOptions
from taskscheduler.operations.add import merged
from taskscheduler.process import Process
from taskscheduler.store.transactions.steps import AnySession
from taskscheduler.validation import batch
from taskscheduler.waiting.batch import BatchProgress, as_completed
from taskscheduler.waiting.completion_watcher import CompletionWatcher

NO_OPTIONS: Mapping[str, Any] = {}


class Call(NamedTuple):
    """A job and its data, as `add_job(*call)`, `add_jobs` and `run_batch` take them."""

    job: Any
    data: Any


@overload
def call(job: TypedJob[P, Any], /, *args: P.args, **named: P.kwargs) -> Call: ...


@overload
def call(job: type | str, /, *args: Any, **named: Any) -> Call: ...


def call(job: Any, /, *args: Any, **named: Any) -> Call:
    """Returns a call that is not made yet: the job, and the data that stand for these arguments.

    >>> scheduler.add_job(*call(resize, "a.png", width=100), retry=3)
    >>> scheduler.run_batch([call(resize, name) for name in names])

    A `@job` function gets exactly these arguments, but for what BSON makes of them (a tuple comes as a list); a Job
    class gets one value, or a mapping of arguments by name, as its data. InvalidArgumentsError if the function does
    not take them, or if both kinds are given to a job by name that this process does not know.
    """
    name, spec = REGISTRY.resolve(job)
    if spec is None:
        return Call(job, undeclared(name, args, named))
    if spec.signature is not None:
        return Call(job, spec.signature.data(args, named))
    return Call(job, of_class(name, args, named))


def checked_options(options: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns job options as they were given; InvalidOptionError here and now if one is wrong."""
    asked = merged(options, given)
    JobOptions.of(asked)
    return asked


def with_common(entry: Any, common: Mapping[str, Any]) -> Any:
    """Returns one job of a batch with the common options, which its own options override."""
    parts = entry if isinstance(entry, tuple) else (entry,)
    if not common or not 1 <= len(parts) <= 3:
        return entry  # add_jobs raises the error
    job, data, own = (*parts, None, None)[:3]
    return (job, data, {**common, **merged(own, {})})


def check_callbacks(**callbacks: Callable[..., Any] | None) -> None:
    """Raises InvalidOptionError for one that cannot be called."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise InvalidOptionError(f"{name} must be callable, not {type(callback).__name__}")


class Submitting(Protocol):
    """The part of a scheduler that calls use."""

    def add_job(
        self,
        job: Any,
        data: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        session: AnySession | None = None,
        **given: Any,
    ) -> Process:
        """Stores a job. See Scheduler.add_job."""
        ...

    def add_jobs(self, jobs: Iterable[Any]) -> list[Process]:
        """Stores many jobs. See Scheduler.add_jobs."""
        ...

    @property
    def completions(self) -> CompletionWatcher: ...


def check_no_session(session: AnySession | None) -> None:
    """Raises InvalidOptionError if calls that wait are to be made in a transaction."""
    if session is not None:
        raise InvalidOptionError(
            "option session is for submit: a job that is waited for starts only after the transaction has committed"
        )


class Calls:
    """Calls jobs like functions, all with the same job options. See Scheduler.with_options."""

    def __init__(
        self,
        scheduler: Submitting,
        options: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] = NO_OPTIONS,
        session: AnySession | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._session = session
        self._options = checked_options(options, given)

    @overload
    def submit(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> Process[R_co]: ...

    @overload
    def submit(self, job: type | str, /, *args: Any, **named: Any) -> Process: ...

    def submit(self, job: Any, /, *args: Any, **named: Any) -> Process:
        """Adds the job and returns at once. See Scheduler.submit."""
        return self._scheduler.add_job(*call(job, *args, **named), self._options, session=self._session)

    @overload
    def run(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> R_co: ...

    @overload
    def run(self, job: type | str, /, *args: Any, **named: Any) -> Any: ...

    def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Adds the job and waits for its result. See Scheduler.run."""
        check_no_session(self._session)
        return self.submit(job, *args, **named).result()

    def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[Process], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Adds many jobs and waits until all have ended. See Scheduler.run_batch."""
        check_no_session(self._session)
        check_callbacks(callback=callback, progress=progress)
        limit = waiting_time(timeout)
        added = BatchProgress(self._scheduler.add_jobs([with_common(entry, self._options) for entry in batch(calls)]))
        with closing(as_completed(self._scheduler.completions, added, limit)) as completed:
            for process in completed:
                if callback is not None:
                    callback(process)
                if progress is not None:
                    progress(added.done, added.total)
        return added.succeeded
