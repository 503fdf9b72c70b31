"""Commits of jobs: the job's own writes and its end in one transaction, behind the fence of its attempt.

First the job is marked with the session: `committing: {attempt, session}`. As long as the mark is there, nobody writes
signs of life, which would conflict with the end. Whoever takes the job from a dead worker ends its session first: else
what it had written stays locked until the server's limit for transactions, a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import Backoff, Clock, Deadline
from taskscheduler.errors import DatabaseUnavailableError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import completion_update
from taskscheduler.store.client import DURABLE
from taskscheduler.store.driver_errors import brief, is_transient
from taskscheduler.store.fence import Fence
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.transactions.sessions import UNKNOWN_RESULT
from taskscheduler.store.transactions.steps import Call, Pause, SessionCall, Steps

logger = logging.getLogger(__name__)

_PATIENCE = 30.0  #: seconds for which the mark is written again through elections

_UNKNOWN_FOR = 60.0  #: seconds for which the outcome of a commit is asked for

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

_SNAPSHOT = ReadConcern("snapshot")


class Started(NamedTuple):
    """An attempt that runs, as its worker knows it: an attempt of this number never starts twice."""

    job_id: ObjectId
    attempt: int
    claim: str | None = None  #: None if the worker was not told


class CommitSteps:
    """What a job does in its session, told as steps."""

    def __init__(self, options: SchedulerOptions, clock: Clock) -> None:
        self._jobs = options.job_store
        self._clock = clock

    def begin(self, started: Started, session_id: Any) -> Steps[Fence | None]:
        """Marks the job, then begins the transaction; None if the job is not this attempt's any more."""
        deadline, backoff = Deadline(_PATIENCE, self._clock), Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                fence = yield from self._marked(started, session_id)
            except PyMongoError as error:
                if not is_transient(error) or deadline.passed:
                    raise
            else:
                if fence is not None:
                    yield SessionCall("start_transaction", {"read_concern": _SNAPSHOT, "write_concern": DURABLE})
                return fence
            yield Pause(backoff.next())

    def _marked(self, started: Started, session_id: Any) -> Steps[Fence | None]:
        claim = started.claim
        if claim is None:
            query = {"_id": started.job_id, "status": int(Status.PROCESSING), "attempt": started.attempt}
            found = yield Call(self._jobs, "find_one", (query, {"claim": 1}))
            claim = (found or {}).get("claim")
        if not isinstance(claim, str):
            return None
        fence = Fence(started.job_id, claim, started.attempt)
        mark = {"$set": {"committing": {"attempt": started.attempt, "session": session_id}}}
        written = yield Call(self._jobs, "update_one", (fence.filter(), mark))
        return fence if written.matched_count else None

    def finish(self, completion: Completion) -> Steps[bool]:
        """Writes the end of the job and commits; False, after an abort, if the job is not this attempt's any more.

        DatabaseUnavailableError if nobody can tell for a minute whether it was committed.
        """
        written = yield Call(self._jobs, "bulk_write", ([completion_update(completion)],))
        if not written.matched_count:
            yield SessionCall("abort_transaction")
            return False
        deadline, backoff = Deadline(_UNKNOWN_FOR, self._clock), Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                yield SessionCall("commit_transaction")
                return True
            except PyMongoError as error:
                if not error.has_error_label(UNKNOWN_RESULT):
                    raise
                if deadline.passed:
                    raise DatabaseUnavailableError(
                        f"MongoDB does not say whether the job has committed: {brief(error)}"
                    ) from error
            yield Pause(backoff.next())

    def give_up(self, fence: Fence, is_open: bool) -> Steps[None]:
        """Aborts the transaction if it is open, and removes the mark; errors are logged, as both heal by themselves."""
        try:
            if is_open:
                yield SessionCall("abort_transaction")
            query = {**fence.named(), "committing.attempt": fence.attempt}
            yield Call(self._jobs, "update_one", (query, {"$unset": {"committing": ""}}))
        except PyMongoError as error:
            logger.info("commit not given up in the database", extra={"reason": brief(error)})


class CommitStore:
    """The commits of jobs, as nodes see them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection: Collection[Document] = database[options.job_store]

    def break_off(self, job_ids: Sequence[ObjectId]) -> None:
        """Ends the sessions in which dead workers were about to commit these jobs, so that nothing stays locked.

        A session that this user may not end is left to the server's limit for transactions.
        """
        query = {"_id": {"$in": list(job_ids)}, "committing": {"$exists": True}}
        found = read(self._collection, lambda jobs: jobs.find(query, {"committing": 1}))
        marks = [job["committing"] for job in found if isinstance(job["committing"], dict)]
        sessions = [{"id": mark["session"]} for mark in marks if isinstance(mark.get("session"), UUID)]
        if not sessions:
            return
        try:
            self._collection.database.client.admin.command("killSessions", sessions, codec_options=CODEC)
        except PyMongoError as error:
            logger.info("session of a dead worker not ended", extra={"reason": brief(error)})
