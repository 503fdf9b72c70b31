"""The two capped collections: messages that wake nodes, and the log of status changes. Losing any of it loses nothing.

A message: `{_id, jobs: [ids], queues: [names]}` for added jobs, `{_id, stop: [ids]}` for cancelled ones.
A log entry: `{_id, node, events: [{job, status, attempt}]}`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.options import SchedulerOptions
from taskscheduler.record import Document
from taskscheduler.store.client import PROMPT

logger = logging.getLogger(__name__)

_IDS_PER_MESSAGE = 1000


class MessageQueue:
    """Writes the messages; many threads that add at once share one write."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection = database.get_collection(options.job_queue, write_concern=PROMPT)
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._added: list[ObjectId] = []
        self._queues: set[str] = set()

    def added(self, ids: Sequence[ObjectId], queues: Iterable[str]) -> None:
        """Tell the nodes that these jobs are stored. Returns once some thread has sent, or will send, all of them."""
        with self._lock:
            self._added += ids
            self._queues.update(queues)
        while self._added and self._sending.acquire(blocking=False):
            try:
                self._send(self._take())
            finally:
                self._sending.release()

    def stop(self, ids: Sequence[ObjectId]) -> None:
        """Tell the nodes to kill these jobs if they run them."""
        for start in range(0, len(ids), _IDS_PER_MESSAGE):
            self._send([{"_id": ObjectId(), "stop": list(ids[start : start + _IDS_PER_MESSAGE])}])

    def _take(self) -> list[Document]:
        with self._lock:
            ids, queues = self._added, sorted(self._queues)
            self._added, self._queues = [], set()
        return [
            {"_id": ObjectId(), "jobs": ids[start : start + _IDS_PER_MESSAGE], "queues": queues}
            for start in range(0, len(ids), _IDS_PER_MESSAGE)
        ]

    def _send(self, messages: list[Document]) -> None:
        try:
            if len(messages) == 1:
                self._collection.insert_one(messages[0])
            elif messages:
                self._collection.insert_many(messages, ordered=False)
        except PyMongoError as error:
            # the jobs are stored; without the message nodes find them when they next look
            logger.warning("wake-up message not sent", extra={"reason": str(error)[:200]})


class EventLog:
    """Appends status changes to the capped log, many in one document."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection = database.get_collection(options.event_queue, write_concern=PROMPT)

    def append(self, events: Sequence[dict[str, Any]], node: str | None = None) -> None:
        """Log `{job, status, attempt}` entries; a failure is reported and otherwise ignored."""
        try:
            for start in range(0, len(events), _IDS_PER_MESSAGE):
                chunk = list(events[start : start + _IDS_PER_MESSAGE])
                self._collection.insert_one({"_id": ObjectId(), "node": node, "events": chunk})
        except PyMongoError as error:
            logger.warning("events not logged", extra={"reason": str(error)[:200]})

    def of_job(self, job_id: ObjectId) -> list[Document]:
        """The logged changes of one job that have not been overwritten yet, oldest first."""
        entries = self._collection.find({"events.job": job_id}).sort("$natural", 1)
        return [
            {**event, "logged": entry["_id"].generation_time, "node": entry["node"]}
            for entry in entries
            for event in entry["events"]
            if event["job"] == job_id
        ]
