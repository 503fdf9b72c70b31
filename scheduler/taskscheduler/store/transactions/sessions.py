"""Checks the sessions that applications pass: a transaction must have begun, on the deployment of the scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import Document
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.transactions.steps import Apart, AsyncSession, ClientCommand, Pause, Session, Steps

_BEGIN = "begin one with session.start_transaction() or session.with_transaction()"

_LOOKS = 2  #: at which server is the primary, should there be an election between two of them

_PAUSE = 0.5  #: seconds between two looks


def check_session(session: Any) -> Session:
    """Returns a session; InvalidOptionError unless it is a blocking session in which a transaction has begun."""
    if isinstance(session, AsyncClientSession):
        raise InvalidOptionError(
            "option session is one of an AsyncMongoClient; use an AsyncScheduler, or a session of a MongoClient"
        )
    _check(session, ClientSession, "MongoClient")
    checked: Session = session
    return checked


def check_async_session(session: Any) -> AsyncSession:
    """Returns a session; InvalidOptionError unless it is an asyncio session in which a transaction has begun."""
    if isinstance(session, ClientSession):
        raise InvalidOptionError(
            "option session is one of a MongoClient, which would block the event loop; use a session of an "
            "AsyncMongoClient, or a Scheduler"
        )
    _check(session, AsyncClientSession, "AsyncMongoClient")
    checked: AsyncSession = session
    return checked


def _check(session: Any, kind: type[Session] | type[AsyncSession], client: str) -> None:
    if not isinstance(session, kind):
        raise InvalidOptionError(f"option session must be a session of {client}.start_session(), not {session!r:.60}")
    if session.has_ended:
        raise InvalidOptionError(f"option session has ended; {_BEGIN} on a new one")
    if not session.in_transaction:
        raise InvalidOptionError(f"option session has no transaction: {_BEGIN}")


class Deployment:
    """The servers of a scheduler, and the clients that are known to speak to the same ones."""

    def __init__(self, database: Database[Document]) -> None:
        self._client = database.client
        # by identity: the driver takes two clients of the same servers for equal, and those of others may be, too
        self._known: WeakValueDictionary[int, Any] = WeakValueDictionary({id(self._client): self._client})

    def check(self, client: Any) -> Steps[None]:
        """Raises InvalidOptionError if the client of a session speaks to other servers; asks once per client."""
        if self._known.get(id(client)) is client:
            return
        for look in range(_LOOKS):
            ours = yield Apart(self._hello)
            theirs = yield ClientCommand("hello")
            if _process_of(ours) == _process_of(theirs):
                self._known[id(client)] = client
                return
            if look < _LOOKS - 1:
                yield Pause(_PAUSE)  # else a new primary may not be known to both of them
        raise InvalidOptionError(
            "option session belongs to another MongoDB deployment than the jobs; use a client of the same servers"
        )

    def _hello(self) -> Document:
        return self._client.admin.command("hello")


def _process_of(hello: Document) -> Any:
    """Returns what tells the process of the primary from any other in the world.

    Two clients of a sharded cluster may speak to different processes, so two such clusters are not told apart.
    """
    if hello.get("msg") == "isdbgrid":
        return "a sharded cluster"
    return hello.get("topologyVersion", {}).get("processId", ObjectId())


TRANSIENT, UNKNOWN_RESULT = "TransientTransactionError", "UnknownTransactionCommitResult"


def is_repeatable(error: BaseException) -> bool:
    """Whether the driver's `with_transaction` repeats the whole transaction after this error."""
    return isinstance(error, PyMongoError) and error.has_error_label(TRANSIENT)


def conflict(what: str) -> OperationFailure:
    """Returns an error after which the driver's `with_transaction` repeats the transaction, as after any conflict."""
    return OperationFailure(f"write conflict: {what}", 112, {"errorLabels": [TRANSIENT]})


@contextmanager
def translated_once() -> Iterator[None]:
    """Turns driver errors into ours, but for those after which the whole transaction is to be repeated.

    These pass through as the driver raises them: `with_transaction` looks at their labels.
    """
    try:
        yield
    except PyMongoError as error:
        if is_repeatable(error):
            raise
        with translated():
            raise
