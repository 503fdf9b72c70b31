"""The stored settings of the cluster, one document each, under a key that says what it is: `pause:queue:mail`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.clock import Clock
from taskscheduler.model.control.controls import Controls
from taskscheduler.model.document import Document
from taskscheduler.model.options import CONTROLS
from taskscheduler.store.lenient_reads import decoded, read, readable_errors, undecoded

_CURRENT = 0.5  #: seconds for which settings that were read are used


class ControlStore:
    """The settings of one database. They are few: each node reads all of them every second."""

    def __init__(self, database: Database[Document], clock: Clock) -> None:
        self.collection: Collection[Document] = database[CONTROLS]
        self._clock = clock
        self._known, self._read_at = Controls(), float("-inf")

    def all(self) -> list[Document]:
        """Returns all settings, as they are stored."""
        return read(self.collection, lambda settings: settings.find())

    def load(self) -> Controls:
        """Returns what is set."""
        read_at = self._clock.monotonic()
        self._known = Controls.of(self.all())
        self._read_at = read_at
        return self._known

    def current(self) -> Controls:
        """Returns what is set, or was a moment ago."""
        return self._known if self._clock.monotonic() - self._read_at < _CURRENT else self.load()

    def put(self, key: str, values: Mapping[str, Any]) -> None:
        """Stores a setting in place of the one of this key, if there is one."""
        self.collection.replace_one({"_id": key}, dict(values), upsert=True)
        self._read_at = float("-inf")

    def delete(self, key: str) -> Document | None:
        """Deletes a setting; returns it as it was, None if there was none."""
        with readable_errors():
            deleted = decoded(undecoded(self.collection).find_one_and_delete({"_id": key}))
        self._read_at = float("-inf")
        return deleted

    def delete_over(self, key: str, now: datetime) -> bool:
        """Deletes a setting whose time is over, unless somebody has set it anew; returns whether it did."""
        return self.collection.delete_one({"_id": key, "until": {"$lte": now}}).deleted_count == 1

    def bring_forward(self, seconds: float) -> None:
        """Makes all settings end so many seconds earlier that have an end; for tests."""
        earlier = {"$subtract": ["$until", round(seconds * 1000)]}
        self.collection.update_many({"until": {"$type": "date"}}, [{"$set": {"until": earlier}}])
        self._read_at = float("-inf")
