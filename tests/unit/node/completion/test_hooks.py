"""Notifications are called once each, whatever the database answers in between."""

from __future__ import annotations

from typing import Any, cast

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect

from taskscheduler_daemon.node.completion.hooks import HookCalls


class Surroundings:
    """A database in which one notification is owed, and whose next read may fail; and a manager."""

    def __init__(self) -> None:
        self.owed = True
        self.fails = False
        self.called = 0

    @property
    def outbox(self) -> Surroundings:
        return self

    claims = outbox

    def acknowledge(self, job_id: ObjectId, debt: str) -> bool:
        was, self.owed = self.owed, False
        return was

    def raw_document(self, job_id: ObjectId) -> RawBSONDocument:
        if self.fails:
            self.fails = False
            raise AutoReconnect("cut")
        return RawBSONDocument(bson.encode({"_id": job_id}))

    def dispatch(self, runs: Any) -> None:
        self.called += len(runs)


def test_one_whose_job_could_not_be_read_is_still_owed() -> None:
    around, job_id = Surroundings(), ObjectId()
    notifications = HookCalls(cast(Any, around), cast(Any, around))
    around.fails = True
    with pytest.raises(AutoReconnect):
        notifications.call(job_id)
    assert around.owed
    notifications.call(job_id)
    notifications.call(job_id)
    assert (around.called, around.owed) == (1, False)
