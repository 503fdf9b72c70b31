"""Follows every change of the job documents that a majority has committed, and writes it down in that order.

This is what the checker takes for the truth about the database: it uses nothing of the product.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from tests.faults.history import History

JOBS = "taskscheduler.jobs"
_MARKS = "faults.marks"
_KEPT = ("status", "attempt", "claim", "boot", "started", "ended", "worker", "rearmed", "retries", "lost", "pending",
         "snoozes")  # fmt: skip
_KEPT_OF_NEW = (*_KEPT, "class", "once", "series", "seq", "parent", "at", "created")
_PAUSE = 0.1
_PIPELINE: list[Mapping[str, Any]] = [{"$match": {"ns.coll": {"$in": [JOBS, _MARKS]}}}]


class Witness:
    """A thread with a change stream; as a context manager it stops at the end."""

    def __init__(self, uri: str, history: History) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, socketTimeoutMS=20_000)
        self._database = self._client.get_default_database()
        self._history = history
        self._token: Mapping[str, Any] | None = None
        self._number = 0
        self._marks: set[ObjectId] = set()
        self._opened, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="witness", daemon=True)

    def __enter__(self) -> Witness:
        self._thread.start()
        if not self._opened.wait(30):
            raise TimeoutError("the witness could not open its stream")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(5)  # it may wait for a server that is gone
        self._client.close()

    def catch_up(self, timeout: float = 30.0) -> None:
        """Return when everything that is committed now has been written down."""
        mark, deadline = ObjectId(), time.monotonic() + timeout
        marks = self._database.get_collection(_MARKS, write_concern=WriteConcern(w="majority"))
        marks.insert_one({"_id": mark})
        while mark not in self._marks:
            if time.monotonic() > deadline:
                raise TimeoutError("the witness does not keep up")
            self._stopped.wait(0.02)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._database.watch(_PIPELINE, max_await_time_ms=500, resume_after=self._token) as stream:
                    self._opened.set()
                    while not self._stopped.is_set():
                        change = stream.try_next()
                        if change is not None:
                            self._write(change)
                        self._token = stream.resume_token
            except PyMongoError as error:
                self._history.write("witness_interrupted", why=str(error)[:200])
                self._stopped.wait(_PAUSE)

    def _write(self, change: Mapping[str, Any]) -> None:
        if "documentKey" not in change:
            return
        job_id = change["documentKey"]["_id"]
        if change["ns"]["coll"] == _MARKS:
            self._marks.add(job_id)
            return
        self._number += 1
        kind = change["operationType"]
        if kind == "update":
            described = change["updateDescription"]
            fields = _plain(described["updatedFields"], _KEPT)
            gone = [name for name in described["removedFields"] if name in (*_KEPT, "once", "next", "parked_at")]
            self._history.write("change", n=self._number, op=kind, job=str(job_id), set=fields, unset=gone)
        else:
            fields = _plain(change.get("fullDocument") or {}, _KEPT_OF_NEW)
            self._history.write("change", n=self._number, op=kind, job=str(job_id), set=fields, unset=[])


def _plain(document: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _value(document[name]) for name in names if name in document}


def _value(value: Any) -> Any:
    return value if isinstance(value, int | float | bool | list) or value is None else str(value)
