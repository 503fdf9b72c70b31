"""Counts what nodes ask for and what they get, as the server's profiler sees the claims of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database

from taskscheduler.model.lifecycle import Transition
from taskscheduler.store.claims import WAITING_OR_IN_TURN
from taskscheduler.store.fence import from_statuses

_PROFILE = "system.profile"
_PROFILE_BYTES = 256 * 2**20
_STATUS = "command.q.status"
_WAITING, _OR_IN_TURN = from_statuses(Transition.CLAIM), WAITING_OR_IN_TURN.query["status"]
_CLAIMS = {"op": "update", "$or": [{_STATUS: {"$eq": _WAITING}}, {_STATUS: {"$eq": _OR_IN_TURN}}]}


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of many jobs at once, by all nodes together."""

    claims: int
    asked: int
    got: int

    @property
    def conflicts(self) -> float:
        """The part of the jobs asked for that another node had taken."""
        return 1.0 - self.got / self.asked if self.asked else 0.0


@contextmanager
def profiled_claims(database: Database[dict[str, Any]]) -> Iterator[None]:
    """Have the server note the claims, and nothing else, until the end of the block."""
    database.drop_collection(_PROFILE)
    database.create_collection(_PROFILE, capped=True, size=_PROFILE_BYTES)
    database.command("profile", 1, filter=_CLAIMS)
    try:
        yield
    finally:
        database.command("profile", 0, filter="unset")


def noted_claims(database: Database[dict[str, Any]]) -> Claims:
    """What the server has noted."""
    noted = list(database[_PROFILE].find({}, {"command.q._id": 1, "nModified": 1}))
    asked = sum(len(entry["command"]["q"]["_id"]["$in"]) for entry in noted)
    return Claims(len(noted), asked, sum(int(entry["nModified"]) for entry in noted))
