"""Adds jobs to a flow that runs, in one transaction that conflicts with the end of the job that adds them.

The job is marked with the session before, as for a commit. If its worker dies meanwhile, the transaction stays open,
and keeps others from writing to the job and its flow. Whoever takes the job ends the session first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.flows.flow import RUNNING
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.sound import status_of
from taskscheduler.store.client import DURABLE
from taskscheduler.store.flows.flow_store import FlowStore, TakenError
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.resumable.tries import tries


class EndedError(Exception):
    """The job that adds others has ended, or its flow is being cancelled."""


class Adding(NamedTuple):
    """Jobs that a running one adds to its flow."""

    flow: ObjectId
    job: ObjectId  #: that adds them
    attempt: int
    joins: Mapping[ObjectId, Sequence[ObjectId]]  #: that jobs of the flow become members of
    soft: frozenset[ObjectId]  #: those of them that do not mind how a job ends


class FlowAdditions:
    """Adds jobs to flows."""

    def __init__(self, flows: FlowStore, jobs: Collection[Document], clock: Clock) -> None:
        self._flows = flows
        self._jobs = jobs
        self._clock = clock

    def add(self, adding: Adding, jobs: Sequence[RawBSONDocument]) -> None:
        """Stores jobs, or nothing. EndedError; TakenError for an id or a label that is in use."""

        def write(session: ClientSession) -> None:
            self._hold(adding, len(jobs), session)
            self._check_labels(adding.flow, [str(job["label"]) for job in jobs], session)
            self._join(adding, session)
            self._flows.insert(jobs, session)

        with self._jobs.database.client.start_session() as session:
            self._mark(adding, session)
            try:
                session.with_transaction(write, ReadConcern("snapshot"), DURABLE)
            except PyMongoError:
                raise  # it may be open still: the mark stays for whoever ends it
            except BaseException:
                self._jobs.update_one({"_id": adding.job, **_marked_by(session)}, {"$unset": {"committing": ""}})
                raise

    def _mark(self, adding: Adding, session: ClientSession) -> None:
        """Notes the session in the running job, unless a block of `commit` has noted its own."""
        free = {**_running(adding), "$or": [{"committing": {"$exists": False}}, _marked_by(session)]}
        mark = {"committing": {"attempt": adding.attempt, "session": session.session_id["id"]}}
        for earlier in tries(self._clock):
            try:
                self._jobs.update_one(free, {"$set": mark})
                return
            except PyMongoError as error:
                earlier.note(error)

    def _hold(self, adding: Adding, count: int, session: ClientSession) -> None:
        """Writes to the running job and to the flow, so that neither ends at the same time, and removes the mark."""
        alive: list[Document] = [
            {"$set": {"alive": "$$NOW", "committing": _unless(session.session_id["id"], "$committing")}}
        ]
        if not self._jobs.update_one(_running(adding), alive, session=session).matched_count:
            raise EndedError(f"attempt {adding.attempt} at job {adding.job} does not run any more, so it adds no jobs")
        open_flow = {"_id": adding.flow, "status": RUNNING, "cancel": {"$exists": False}}
        grown = {"$inc": {"total": count, "rev": 1}}
        if not self._flows.collection.update_one(open_flow, grown, session=session).matched_count:
            raise EndedError(f"flow {adding.flow} is being cancelled, so no jobs are added to it")

    def _check_labels(self, flow_id: ObjectId, labels: Sequence[str], session: ClientSession) -> None:
        taken = {"flow": flow_id, "label": {"$in": list(labels)}}
        found = read(self._jobs, lambda jobs: jobs.find(taken, {"label": 1}, session=session).limit(1))
        if found:
            raise TakenError(found[0]["label"])

    def _join(self, adding: Adding, session: ClientSession) -> None:
        """Makes jobs of the flow members of joins. One that is DONE is no member that anybody waits for."""
        query = {"_id": {"$in": list(adding.joins)}}
        found = read(self._jobs, lambda jobs: jobs.find(query, {"status": 1}, session=session))
        known = {job["_id"]: status_of(job) for job in found}
        writes = [
            UpdateOne({"_id": job_id}, self._membership(adding, joins, known[job_id]))
            for job_id, joins in adding.joins.items()
            if job_id in known
        ]
        if writes:
            self._jobs.bulk_write(writes, ordered=False, session=session)

    def _membership(self, adding: Adding, joins: Sequence[ObjectId], status: Status) -> Document:
        added: Document = {"joins": {"$each": list(joins)}}
        soft = [join for join in joins if join in adding.soft]
        left = [join for join in joins if status in LIVE or join not in adding.soft]
        if soft:
            added["soft"] = {"$each": soft}
        if left and status is not Status.DONE:
            added["open"] = {"$each": left}
        return {"$addToSet": added}


def _running(adding: Adding) -> Document:
    return {"_id": adding.job, "status": int(Status.PROCESSING), "attempt": adding.attempt}


def _marked_by(session: ClientSession) -> Document:
    return {"committing.session": session.session_id["id"]}


def _unless(session_id: Any, mark: str) -> Document:
    """Removes the mark of this session, and leaves that of another one."""
    return {"$cond": [{"$eq": [f"{mark}.session", {"$literal": session_id}]}, "$$REMOVE", mark]}
