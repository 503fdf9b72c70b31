"""Commit: a job's own writes and its end as DONE in one transaction, for `with` and `async with`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.clock import SYSTEM_CLOCK, Clock, Deadline
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import DatabaseUnavailableError, InvalidStateError
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.attempts.cost import UNKNOWN, Cost
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.payload import payload
from taskscheduler.model.raised import AttemptLost
from taskscheduler.operations.finish import AttemptEnd, completion_of
from taskscheduler.scheduler import Scheduler
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence
from taskscheduler.store.transactions.commits import CommitSteps, Started
from taskscheduler.store.transactions.sessions import is_repeatable
from taskscheduler.store.transactions.steps import AsyncSession, Session, Steps, carry_out, carry_out_async

_REPEATED_FOR = 120.0  #: seconds, as by `with_transaction` of the driver

_NOT_LOST = 1  #: an attempt that succeeds is none


class RunningAttempt(NamedTuple):
    """What the worker knows of the attempt that it runs."""

    document: Mapping[str, Any]  #: the job as it was claimed
    worker: str
    began: float  #: in monotonic time
    progress: Mapping[str, Any]  #: what the job has reported last
    cost: Cost = UNKNOWN  #: what it has cost until now


class Committing(Protocol):
    """The services of a worker that a commit uses."""

    def attempt(self) -> RunningAttempt:
        """Returns the attempt that runs; SchedulerError if none does."""
        ...

    def scheduler(self) -> Scheduler:
        """Returns the scheduler of the worker."""
        ...

    def async_scheduler(self) -> AsyncScheduler:
        """Returns the same for the event loop."""
        ...


class CommitState:
    """How far the commits of one attempt are."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.is_open = False
        self.result: AttemptResult | None = None  #: once the job is DONE

    def begin(self) -> None:
        """Notes that a block begins; InvalidStateError unless one may."""
        if self.result is not None:
            raise InvalidStateError("the job has committed: it is DONE, and nothing can be added to that")
        if self.is_open:
            raise InvalidStateError("a block of commit() has begun already; it can be left before another one begins")
        self.is_open = True


class Commit:
    """A block whose writes in the session, and the end of the job as DONE, happen together or not at all."""

    def __init__(self, runtime: Committing, state: CommitState, result: Any, clock: Clock = SYSTEM_CLOCK) -> None:
        self._runtime = runtime
        self._state = state
        self._clock = clock
        self._attempt = runtime.attempt()
        self._fence: Fence | None = None
        self._session: Any = None
        self.take_result(result)

    def take_result(self, result: Any) -> None:
        """Sets what will be the result of the job; InvalidDataError, PayloadTooLargeError."""
        name, most = self._attempt.document["class"], self._runtime.scheduler().options.max_payload
        self._result = None if result is None else payload(f"the result of job {name}", "result", result, most)

    # -- blocking -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Session:
        if self._state.is_async:
            raise InvalidStateError("an async job commits with `async with self.commit() as session`")
        self._state.begin()
        session: Session = self._store.database.client.start_session()
        self._session = session
        try:
            self._fence = self._held(self._run(self._steps.begin(self._started, session.session_id["id"])))
        except BaseException:
            self._left()
            session.end_session()
            raise
        return session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._committed(self._run(self._finish()))
            else:
                self._run(self._give_up())
        except Exception as failed:
            self._run(self._give_up(failed))
            raise
        finally:
            self._left()
            self._session.end_session()

    def _run(self, steps: Steps[Any]) -> Any:
        return carry_out(self._session, self._store.database.name, steps)

    # -- in an event loop ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncSession:
        if not self._state.is_async:
            raise InvalidStateError("an ordinary job commits with `with self.commit() as session`")
        self._state.begin()
        session: AsyncSession = self._runtime.async_scheduler().database.client.start_session()
        self._session = session
        try:
            begun = await self._run_async(self._steps.begin(self._started, session.session_id["id"]))
            self._fence = self._held(begun)
        except BaseException:
            self._left()
            await session.end_session()
            raise
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._committed(await self._run_async(self._finish()))
            else:
                await self._run_async(self._give_up())
        except Exception as failed:
            await self._run_async(self._give_up(failed))
            raise
        finally:
            self._left()
            await self._session.end_session()

    async def _run_async(self, steps: Steps[Any]) -> Any:
        threads = self._runtime.async_scheduler().threads
        return await carry_out_async(self._session, self._store.database.name, steps, threads)

    # -- both ---------------------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        return self._runtime.scheduler().store

    @property
    def _steps(self) -> CommitSteps:
        return CommitSteps(self._store.options, self._clock)

    @property
    def _started(self) -> Started:
        document = self._attempt.document
        return Started(document["_id"], document["attempt"], document.get("claim"))

    def _lost(self) -> AttemptLost:
        document = self._attempt.document
        return AttemptLost(document["_id"], document["attempt"])

    def _held(self, fence: Fence | None) -> Fence:
        if fence is None:
            raise self._lost()
        return fence

    def _finish(self) -> Steps[bool]:
        if not self._session.in_transaction:
            raise InvalidStateError(
                "the transaction of commit() is over; leave it to the end of the block to commit or abort it"
            )
        return (yield from self._steps.finish(self._completion()))

    def _give_up(self, error: Exception | None = None) -> Steps[None]:
        """Does nothing while the outcome is unknown: then the mark has to stay for whoever ends the session."""
        if self._fence is not None and not isinstance(error, DatabaseUnavailableError):
            yield from self._steps.give_up(self._fence, self._session.in_transaction)

    def _completion(self) -> Completion:
        """Returns the end as the node would write it."""
        assert self._fence is not None
        attempt = self._runtime.attempt()
        content: dict[str, Any] = {} if self._result is None else {"result": self._result}
        if attempt.progress:
            content["said"] = dict(attempt.progress)
        if REGISTRY.has_hook(attempt.document["class"]):
            content["hook"] = True
        lasted = self._clock.monotonic() - attempt.began
        end = AttemptEnd(Ending.SUCCEEDED, content, attempt.worker, lasted, cost=attempt.cost)
        completion = completion_of(self._fence, attempt.document, end, _NOT_LOST)
        completion.began, completion.commits = self._store.clock.at(attempt.began), True
        return completion

    def _committed(self, is_done: bool) -> None:
        if not is_done:
            raise self._lost()
        content = {} if self._result is None else {"result": self._result}
        self._state.result = AttemptResult(Ending.SUCCEEDED, content)

    def _left(self) -> None:
        self._state.is_open = False


def commit_with(commit: Commit, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Calls the function in the block of a commit; again after each error that the driver takes for passing."""
    deadline = Deadline(_REPEATED_FOR, SYSTEM_CLOCK)
    while True:
        try:
            with commit as session:
                result = function(session, *args)
                commit.take_result(result)
            return result
        except Exception as error:
            if not is_repeatable(error) or deadline.passed:
                raise
        deadline.pause(_backoff())


async def commit_with_async(
    commit: Commit, function: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]
) -> Any:
    """Does the same in an event loop."""
    deadline = Deadline(_REPEATED_FOR, SYSTEM_CLOCK)
    while True:
        try:
            async with commit as session:
                result = await function(session, *args)
                commit.take_result(result)
            return result
        except Exception as error:
            if not is_repeatable(error) or deadline.passed:
                raise
        await asyncio.sleep(_backoff())


def _backoff() -> float:
    """Returns a short pause, another one for each of two jobs that conflict."""
    return random.uniform(0.005, 0.05)
