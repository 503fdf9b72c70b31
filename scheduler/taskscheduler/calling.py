"""Decides how a job is called like a function: with plain arguments, for its result, alone or as a batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from bson import ObjectId

from taskscheduler.adding import merged
from taskscheduler.arguments import of_class, undeclared
from taskscheduler.clock import Deadline
from taskscheduler.endings import Endings, Watch
from taskscheduler.errors import InvalidOptionError, WaitTimeoutError
from taskscheduler.handle import Process, ProcessState
from taskscheduler.inputs import batch
from taskscheduler.job import FunctionJob, job_class, job_name
from taskscheduler.lifecycle import Status
from taskscheduler.options import JobOptions, Seconds, waiting_time
from taskscheduler.record import Document

if TYPE_CHECKING:
    from taskscheduler.scheduler import Scheduler

P = TypeVar("P", bound=ProcessState)

NO_OPTIONS: Mapping[str, Any] = {}


class Call(NamedTuple):
    """A job and its data, as `add_job(*call)`, `add_jobs` and `run_batch` take them."""

    job: Any
    data: Any


def call(job: Any, /, *args: Any, **named: Any) -> Call:
    """A call that is not made yet: the job, and the data that stand for these arguments.

    >>> scheduler.add_job(*call(resize, "a.png", width=100), retry=3)
    >>> scheduler.run_batch([call(resize, name) for name in names])

    A `@job` function gets exactly these arguments, but for what BSON makes of them (a tuple comes as a list); a Job
    class gets one value, or a mapping of arguments by name, as its data. InvalidArgumentsError if the function does
    not take them, or if both kinds are given to a job by name that this process does not know.
    """
    name, cls = job_name(job), job_class(job)
    if cls is None:
        return Call(job, undeclared(name, args, named))
    if issubclass(cls, FunctionJob):
        return Call(job, cls.declaration().data(args, named))
    return Call(job, of_class(name, args, named))


class Tally(Generic[P]):
    """How many jobs of a batch have ended, and whether all did well."""

    def __init__(self, processes: Iterable[P]) -> None:
        self._left = {process.id: process for process in processes}
        self.known = {job_id: process.status for job_id, process in self._left.items()}
        self.total = len(self._left)
        self.succeeded = True

    @property
    def left(self) -> int:
        return len(self._left)

    @property
    def done(self) -> int:
        return self.total - self.left

    def take(self, job_id: ObjectId, outcome: Document | Exception) -> P | None:
        """The job that has ended, brought up to date; None if that is no news. Raises what keeps it from ending."""
        if isinstance(outcome, Exception):
            raise outcome
        process = self._left.pop(job_id, None)
        if process is not None:
            process.replace(outcome)
            self.succeeded = self.succeeded and process.status is Status.DONE
        return process

    def late(self, timeout: float | None) -> WaitTimeoutError:
        return WaitTimeoutError.of(self.left, timeout)


def ends(endings: Endings, tally: Tally[Process], timeout: float | None) -> Generator[Process, None, None]:
    """The jobs of a batch in the order in which they end. WaitTimeoutError, or what keeps one from ending."""
    told: SimpleQueue[tuple[ObjectId, Document | Exception]] = SimpleQueue()
    watch, deadline = Watch(lambda job_id, outcome: told.put((job_id, outcome))), Deadline(timeout)
    try:
        endings.watch(watch, tally.known)
        while tally.left:
            try:
                news = told.get(timeout=None if timeout is None else deadline.left(timeout))
            except Empty:
                raise tally.late(timeout) from None
            process = tally.take(*news)
            if process is not None:
                yield process
    finally:
        endings.forget(watch)


def checked_options(options: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Job options as they were given; InvalidOptionError here and now if one is wrong."""
    asked = merged(options, given)
    JobOptions.of(asked)
    return asked


def with_common(entry: Any, common: Mapping[str, Any]) -> Any:
    """One job of a batch with the options that all have in common, as far as it does not say otherwise."""
    parts = entry if isinstance(entry, tuple) else (entry,)
    if not common or not 1 <= len(parts) <= 3:
        return entry  # add_jobs says what is wrong
    job, data, own = (*parts, None, None)[:3]
    return (job, data, {**common, **merged(own, {})})


def check_callbacks(**callbacks: Callable[..., Any] | None) -> None:
    """InvalidOptionError for one that cannot be called."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise InvalidOptionError(f"{name} must be callable, not {type(callback).__name__}")


class Calls:
    """Calls jobs like functions, all with the same job options. See Scheduler.with_options."""

    def __init__(
        self, scheduler: Scheduler, options: Mapping[str, Any] | None = None, given: Mapping[str, Any] = NO_OPTIONS
    ) -> None:
        self._scheduler = scheduler
        self._options = checked_options(options, given)

    def submit(self, job: Any, /, *args: Any, **named: Any) -> Process:
        """Add the job and return at once. See Scheduler.submit."""
        return self._scheduler.add_job(*call(job, *args, **named), self._options)

    def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Add the job and wait for its result. See Scheduler.run."""
        return self.submit(job, *args, **named).result()

    def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[Process], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Add many jobs and wait until all have ended. See Scheduler.run_batch."""
        check_callbacks(callback=callback, progress=progress)
        scheduler, limit = self._scheduler, waiting_time(timeout)
        tally = Tally(scheduler.add_jobs([with_common(entry, self._options) for entry in batch(calls)]))
        with closing(ends(scheduler.endings, tally, limit)) as ended:
            for process in ended:
                if callback is not None:
                    callback(process)
                if progress is not None:
                    progress(tally.done, tally.total)
        return tally.succeeded
