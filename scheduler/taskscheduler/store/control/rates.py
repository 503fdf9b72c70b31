"""Rates: how many jobs of a limit may start now. One document per name, changed and read by one command.

The rule is GCRA: `tat` is the time at which the next start would be due if all came evenly. A start is allowed as long
as that is not further ahead than the burst allows. See ITU-T I.371, and https://brandur.org/rate-limiting. A start that
was allowed and did not happen is lost, so a crash never leads to more of them.

There are two times in a document. `tat` counts starts, exactly. `fed` counts the jobs that were let out of the list to
be claimed, so that no more of them wait for a slot than may start. A document whose times have passed says nothing, and
is deleted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.control.limits import Limit
from taskscheduler.model.document import Document
from taskscheduler.model.options import RATES
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import ensure_indexes

STARTS, FED = "tat", "fed"

_ROUNDING = 0.001  #: milliseconds

_INDEXES = [IndexModel([("over", ASCENDING)], name="retention", expireAfterSeconds=3600)]

_LATEST = FAR.timestamp() * 1000


class Granted(NamedTuple):
    """The answer to a request for starts."""

    starts: int  #: how many may start now
    wait: float  #: seconds until the next one may


class RateStore:
    """The state of the rates of one database, by the clock of the server."""

    def __init__(self, database: Database[Document]) -> None:
        self._collection: Collection[Document] = database[RATES]

    def ensure(self) -> None:
        """Has the server delete what is of no use any more."""
        ensure_indexes(self._collection.database, RATES, _INDEXES)

    def take(self, name: str, limit: Limit, count: int, counter: str = STARTS) -> Granted:
        """Takes up to so many starts of a name."""
        change = _take_update(counter, count, limit.milliseconds, limit.burst)
        found: Any = self._collection.find_one_and_update(
            {"_id": name}, change, {"granted": 1, "wait": 1}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return Granted(int(found["granted"]), float(found["wait"]) / 1000)

    def wait(self, name: str, limit: Limit) -> float:
        """Returns the seconds until the next start of a name is allowed; takes none."""
        stages: list[Document] = [{"$match": {"_id": name}}, *_take_update(STARTS, 0, limit.milliseconds, limit.burst)]
        stages.append({"$project": {"wait": 1}})
        found = next(iter(read(self._collection, lambda rates: rates.aggregate(stages))), None)
        return 0.0 if found is None else float(found["wait"]) / 1000

    def give_back(self, name: str, limit: Limit, count: int, counter: str = STARTS) -> None:
        """Gives back starts that were taken for nothing."""
        self._collection.update_one({"_id": name}, {"$inc": {counter: -count * limit.milliseconds}})

    def not_begun(self, name: str, limit: Limit, count: int) -> None:
        """Notes that so many jobs came too early that were let out: the next one is let out when it may begin.

        Otherwise each of them would cost a start, and an early one is not rare: they come as fast as nodes claim.
        """
        fed, tat = ({"$cond": [{"$isNumber": f"${counter}"}, f"${counter}", 0]} for counter in (FED, STARTS))
        earlier = {"$subtract": [fed, count * limit.milliseconds]}
        self._collection.update_one({"_id": name}, [{"$set": {FED: {"$max": [earlier, tat]}}}])

    def bring_forward(self, seconds: float) -> None:
        """Makes all starts so many seconds older; for tests."""
        older: Document = {
            counter: {"$cond": [{"$isNumber": f"${counter}"}, {"$subtract": [f"${counter}", seconds * 1000]}, 0]}
            for counter in (STARTS, FED)
        }
        self._collection.update_many({}, [{"$set": older}])


def _take_update(counter: str, count: int, every: float, burst: int) -> list[Document]:
    """Takes as many of `count` starts as are allowed; times in milliseconds, a start `every` so many."""
    now = {"$toDouble": {"$toLong": "$$NOW"}}
    ahead = (burst - 1) * every
    latest = {"$add": ["$now", burst * every]}  # a longer wait is left from a lower rate
    known = {"$min": [{"$cond": [{"$isNumber": f"${counter}"}, f"${counter}", 0]}, latest]}
    # times have so many digits that a sum of them is up to 0.25 us off
    left = {"$subtract": [ahead + min(_ROUNDING, every / 1000), {"$subtract": ["$base", "$now"]}]}
    free = {"$floor": {"$divide": [left, every]}}
    granted = {"$max": [0, {"$min": [count, {"$add": [free, 1]}]}]}
    return [
        {"$set": {"now": now}},
        {"$set": {"base": {"$max": [known, "$now"]}}},
        {"$set": {"granted": granted}},
        {"$set": {counter: {"$add": ["$base", {"$multiply": ["$granted", every]}]}}},
        {
            "$set": {
                "wait": {"$max": [0, {"$subtract": [{"$subtract": [f"${counter}", ahead]}, "$now"]}]},
                "over": {"$max": ["$over", {"$toDate": {"$toLong": {"$min": [f"${counter}", _LATEST]}}}]},
            }
        },
        {"$unset": ["now", "base"]},
    ]
