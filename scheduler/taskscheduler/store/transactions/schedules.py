"""Reads and writes schedules in a transaction, told as steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.options import SCHEDULES
from taskscheduler.store.schedules import change_of
from taskscheduler.store.transactions.sessions import conflict
from taskscheduler.store.transactions.steps import Call, Steps


class ScheduleSteps:
    """The schedules of one database, in a transaction."""

    def get(self, name: Any) -> Steps[Document | None]:
        """Returns the schedule of this name."""
        found: Document | None = yield Call(SCHEDULES, "find_one", ({"_id": {"$eq": name}},))
        return found

    def insert(self, document: Mapping[str, Any]) -> Steps[Document]:
        """Stores a new schedule and returns it; nodes look at it when the transaction commits."""
        created = {**document, "rev": 0, "woken": ObjectId()}
        try:
            yield Call(SCHEDULES, "insert_one", (created,))
        except DuplicateKeyError as error:
            raise conflict("somebody else has added a schedule of this name") from error
        return created

    def change(self, known: Mapping[str, Any], values: Mapping[str, Any]) -> Steps[Document]:
        """Sets fields of a schedule, None removes one; returns the new document."""
        query, update = change_of(known, {**values, "woken": ObjectId()})
        found = yield Call(SCHEDULES, "find_one_and_update", (query, update), {"return_document": ReturnDocument.AFTER})
        if found is None:
            raise conflict("somebody else has changed the schedule")
        changed: Document = found
        return changed
