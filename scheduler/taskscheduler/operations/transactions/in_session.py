"""Carries out operations in the sessions of an application, once it is known that they speak to the same servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from taskscheduler.connection import Connection
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.schedules import ScheduleControl
from taskscheduler.operations.transactions.adding import TransactionAdder
from taskscheduler.operations.transactions.flows import TransactionFlows
from taskscheduler.operations.transactions.schedules import TransactionSchedules
from taskscheduler.store import Store
from taskscheduler.store.transactions.sessions import check_async_session, check_session, translated_once
from taskscheduler.store.transactions.steps import (
    AnySession,
    Steps,
    Threads,
    carry_out,
    carry_out_async,
    in_own_transaction,
)

T = TypeVar("T")


class Plan:
    """Stands for the session of an event loop while a thread prepares an operation: it takes the steps to carry out."""

    def __init__(self) -> None:
        self.steps: Steps[Any]


class InSession:
    """What a scheduler does in the transactions of others."""

    def __init__(self, connection: Connection, adder: JobAdder, schedules: ScheduleControl) -> None:
        self._connection = connection
        self._adder = adder
        self._schedules = schedules

    @property
    def jobs(self) -> TransactionAdder:
        """What adds jobs."""
        return TransactionAdder(self._connection.store, self._adder)

    @property
    def flows(self) -> TransactionFlows:
        """What adds flows."""
        return TransactionFlows(self._connection.store, self._adder)

    @property
    def schedules(self) -> TransactionSchedules:
        """What adds schedules and runs of them."""
        return TransactionSchedules(self._connection.store, self._schedules)

    def carry_out(self, session: AnySession | Plan, prepare: Callable[[InSession], Steps[T]]) -> T:
        """Prepares an operation and carries it out in the transaction of a session; a Plan takes its steps instead.

        InvalidOptionError unless a transaction has begun, on the same servers. Errors after which the driver repeats
        the transaction pass through.
        """
        if isinstance(session, Plan):
            session.steps = prepare(self)
            return cast(T, None)  # nobody looks at it
        checked = check_session(session)
        with translated_once():
            store, steps = self._connection.store, prepare(self)
            return carry_out(checked, store.database.name, _checked(store, checked, steps))

    def on_its_own(self, prepare: Callable[[InSession], Steps[T]]) -> T:
        """Carries out an operation in a transaction of the scheduler's own: all of it, or nothing."""
        return in_own_transaction(self._connection.store.database, lambda: prepare(self))

    async def carry_out_async(self, session: Any, prepare: Callable[[Plan], object], threads: Threads) -> Any:
        """Does the same in an event loop: prepares in a thread, with a plan, and takes the steps in the loop."""
        checked, plan = check_async_session(session), Plan()
        with translated_once():
            await threads.run(prepare, plan)
            store = self._connection.store
            return await carry_out_async(checked, store.database.name, _checked(store, checked, plan.steps), threads)


def _checked(store: Store, session: AnySession, steps: Steps[T]) -> Steps[T]:
    yield from store.deployment.check(session.client)
    return (yield from steps)
