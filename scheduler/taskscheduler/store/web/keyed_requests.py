"""Requests that have a key of their client, and what they were answered: a request and its jobs are one transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from pymongo import ASCENDING, IndexModel
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.options import REQUESTS
from taskscheduler.model.sound import is_text
from taskscheduler.store.client import DURABLE
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.lenient_reads import read_one
from taskscheduler.store.schema import ensure_indexes

KEPT = timedelta(days=1)

_INDEXES = [IndexModel([("until", ASCENDING)], name="retention", expireAfterSeconds=0)]


class Answered(NamedTuple):
    """What a request was answered."""

    request: str  #: what tells it from other requests
    answer: str
    is_repeated: bool  #: whether an earlier request of the key was answered so


class KeyedRequests:
    """The requests of the last day that had a key. The collection is made with the first of them."""

    def __init__(self, database: Database[Document], clock: Clock) -> None:
        self._database = database
        self._collection: Collection[Document] = database[REQUESTS]
        self._clock = clock
        self._ensured = False

    @translated()
    def carry_out(self, key: str, request: str, act: Callable[[ClientSession], str]) -> Answered:
        """Carries out a request unless its key has one already; returns the answer to the one that was carried out.

        `act` does everything in the session that it gets, and may be called again. Of two requests at once, one waits
        for the other; if the process dies, both the request and what it has done are there, or neither.
        """
        if not self._ensured:
            ensure_indexes(self._database, REQUESTS, _INDEXES)
            self._ensured = True
        with self._database.client.start_session() as session:
            return session.with_transaction(lambda own: self._once(own, key, request, act), write_concern=DURABLE)

    def _once(self, session: ClientSession, key: str, request: str, act: Callable[[ClientSession], str]) -> Answered:
        until = self._clock.now()
        asked = {"_id": key, "until": {"$gt": until}}
        found = read_one(self._collection, lambda requests: requests.find_one(asked, session=session))
        if found is not None and is_text(found.get("answer")):
            return Answered(str(found.get("request")), found["answer"], True)
        # first of all, so that another request with this key waits here and not behind its work
        fresh: Document = {"request": request, "until": until + KEPT}
        self._collection.replace_one({"_id": key}, fresh, upsert=True, session=session)
        answer = act(session)
        self._collection.update_one({"_id": key}, {"$set": {"answer": answer}}, session=session)
        return Answered(request, answer, False)

    def bring_forward(self, time: timedelta) -> None:
        """Makes all keys end so much earlier; for tests."""
        earlier: Any = {"$subtract": ["$until", int(time.total_seconds() * 1000)]}
        self._collection.update_many({}, [{"$set": {"until": earlier}}])
