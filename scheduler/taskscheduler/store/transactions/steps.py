"""Steps: what an operation in a transaction asks of the driver, one after the other, whoever carries them out.

The sessions of an application belong to its own client, and an asyncio session to its event loop. So an operation is a
generator: it yields steps and gets their answers, or their errors. `carry_out` runs it blocking, and
`carry_out_async` in the event loop. Both classes of the driver have the same methods.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Protocol, TypeAlias, TypeVar

from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.model.document import Document
from taskscheduler.store.client import DURABLE
from taskscheduler.store.lenient_reads import RAW, decoded

T = TypeVar("T")

Session: TypeAlias = ClientSession  #: of a MongoClient

AsyncSession: TypeAlias = AsyncClientSession  #: of an AsyncMongoClient

AnySession: TypeAlias = Session | AsyncSession


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method of a collection, in the transaction if one has begun. It decodes as other reads do."""

    collection: str
    method: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def begin(self, session: Any, database: str) -> Any:
        """Calls the method; for an asyncio session the answer is still to come."""
        target = session.client[database][self.collection].with_options(codec_options=RAW, write_concern=DURABLE)
        answer = getattr(target, self.method)(*self.arguments, session=session, **self.options)
        return answer.to_list() if self.method == "find" else answer


@dataclass(frozen=True, slots=True)
class ClientCommand:
    """A command to the primary, beside the transaction, on the client of the session."""

    name: str

    def begin(self, session: Any, _database: str) -> Any:
        """Sends the command."""
        return session.client.admin.command(self.name)


@dataclass(frozen=True, slots=True)
class SessionCall:
    """One call of a method of the session itself."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def begin(self, session: Any, _database: str) -> Any:
        """Calls the method."""
        return getattr(session, self.method)(**self.options)


@dataclass(frozen=True, slots=True)
class Apart:
    """A blocking call that has nothing to do with the session: an event loop makes it in a thread."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds without a step."""

    seconds: float


Step: TypeAlias = Call | ClientCommand | SessionCall | Apart | Pause

Steps: TypeAlias = Generator[Step, Any, T]


class Threads(Protocol):
    """Runs blocking functions for an event loop."""

    async def run(self, function: Callable[..., T], /, *args: Any, **given: Any) -> T:
        """Runs it in a thread and returns its result."""
        ...


def carry_out(session: Session | None, database: str, steps: Steps[T]) -> T:
    """Carries out the steps in this thread, and returns what the operation returns."""
    answer, error = None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        answer, error = None, None
        try:
            if isinstance(step, Apart):
                answer = step.function()
            elif isinstance(step, Pause):
                threading.Event().wait(step.seconds)
            else:
                answer = _readable(step.begin(session, database))
        except PyMongoError as failed:
            error = failed


def in_own_transaction(database: Database[Document], prepare: Callable[[], Steps[T]]) -> T:
    """Carries out an operation in a transaction of its own, once more after each error that may pass, for 120 s.

    `prepare` is called for each try. Raises the driver's errors.
    """
    with database.client.start_session() as session:
        return session.with_transaction(lambda own: carry_out(own, database.name, prepare()), write_concern=DURABLE)


async def carry_out_async(session: AsyncSession | None, database: str, steps: Steps[T], threads: Threads) -> T:
    """Does the same in the event loop."""
    answer, error = None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        answer, error = None, None
        try:
            if isinstance(step, Apart):
                answer = await threads.run(step.function)
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                begun = step.begin(session, database)
                answer = _readable(await begun if isawaitable(begun) else begun)
        except PyMongoError as failed:
            error = failed


def _readable(answer: Any) -> Any:
    if isinstance(answer, RawBSONDocument):
        return decoded(answer)
    return [_readable(one) for one in answer] if isinstance(answer, list) else answer
