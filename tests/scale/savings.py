"""Measures other forms of the writes by which the product claims and ends jobs, and what each index of jobs costs.

`.venv/bin/python -m tests.scale.savings [JOBS] [ROUNDS] [BATCH]` prints what `tests.scale.work` prints, with a line for
each form. All of them leave the same jobs behind, but for those that leave something out to show what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bson import ObjectId
from pymongo import UpdateMany, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import completion_update, results_update
from taskscheduler.store.claimed_job import READ_BACK
from taskscheduler.store.client import DURABLE, PROMPT
from taskscheduler.store.fence import BY_ID, Fence
from tests.scale.work import (
    DONE,
    NODE,
    OPTIONS,
    RUNNING,
    WAITING,
    Design,
    Document,
    Pipeline,
    Update,
    Way,
    arguments,
    compare,
)

PER_STATEMENT = 20  #: jobs that a node ends with one statement under load: those of a worker that began within 10 ms


class FewerDates(Pipeline):
    """A claim dates itself once, instead of three fields."""

    def claim_update(self, claim: str) -> Update:
        return {**super().claim_update(claim), "$currentDate": {"claimed": True}}


class DatesSet(Pipeline):
    """A claim has the dates of the node's clock, and a number of the attempt that the node knows."""

    def claim_update(self, claim: str) -> Update:
        change = super().claim_update(claim)
        return {"$set": {**change["$set"], **dict.fromkeys(change["$currentDate"], self.now), "attempt": 1}}


class InPipelines(Pipeline):
    """The same updates as aggregation pipelines."""

    def claim_update(self, claim: str) -> Update:
        change = super().claim_update(claim)
        counted = {"attempt": {"$add": ["$attempt", 1]}}
        return [{"$set": {**change["$set"], **dict.fromkeys(change["$currentDate"], "$$NOW"), **counted}}]

    def finish_update(self) -> Update:
        return [super().finish_update()]


class WithoutCosts(Pipeline):
    """An end tells neither CPU time nor memory."""

    def finish_update(self) -> Update:
        kept = {name: value for name, value in super().finish_update()["$set"].items() if "_" not in name}
        return {"$set": {name: value for name, value in kept.items() if name != "cpu"}}


class StatusEquals(Pipeline):
    """The filters name one status, not a list of one."""

    def claim_batch(self, claim: str, ids: list[ObjectId]) -> None:
        self.jobs.update_many({"_id": {"$in": ids}, "status": WAITING}, self.claim_update(claim), hint=BY_ID)

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        held = {"_id": {"$in": ids}, "status": RUNNING, "claim": claim}
        self.jobs.bulk_write([UpdateMany(held, self.finish_update(), hint=BY_ID)], ordered=False)


class Grouped(Pipeline):
    """An end shares its statement with some others of its claim, as under load."""

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        parts = [ids[start : start + PER_STATEMENT] for start in range(0, len(ids), PER_STATEMENT)]
        fence = {"status": {"$in": [RUNNING]}, "claim": claim}
        change = self.finish_update()
        writes = [UpdateMany({"_id": {"$in": part}, **fence}, change, hint=BY_ID) for part in parts]
        self.jobs.bulk_write(writes, ordered=False)


class OneByOne(Pipeline):
    """Each end is a statement of its own. `UpdateOne` has the server keep what it needs to recognise a repetition."""

    statement: type[UpdateMany] | type[UpdateOne] = UpdateMany

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        fence = {"status": RUNNING, "claim": claim, "attempt": 1}
        change = self.finish_update()
        self.jobs.bulk_write([self.statement({"_id": one, **fence}, change, hint=BY_ID) for one in ids], ordered=False)


class OneByOneRetried(OneByOne):
    statement = UpdateOne


class Results(Pipeline):
    """Each job has a small result, as the product writes it: a hundred in a statement."""

    together = 100

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        ends = [self._end(Fence(one, claim, 1), number) for number, one in enumerate(ids)]
        parts = [ends[start : start + self.together] for start in range(0, len(ends), self.together)]
        self.jobs.bulk_write([self._write(part) for part in parts], ordered=False)

    def _end(self, fence: Fence, result: int) -> Completion:
        now = self.now.timestamp()
        end = Completion(fence, Verdict(Transition.SUCCEED), "0" * 24, result=result, began=now, ended=now)
        end.cost = Cost(0.001, 50_000_000)
        return end

    def _write(self, ends: list[Completion]) -> UpdateMany:
        return results_update(ends) if self.together > 1 else completion_update(ends[0])


class ResultsOneByOne(Results):
    together = 1


class Unconfirmed(Pipeline):
    """Claims and ends do not wait for the journal."""

    def __init__(self, database: Database[Document], size: int) -> None:
        super().__init__(database, size)
        self.jobs = database.get_collection(OPTIONS.job_store, write_concern=PROMPT)


class ReadByIds(Pipeline):
    """A claim is read back by the ids that it asked for."""

    def read_batch(self, claim: str, ids: list[ObjectId]) -> None:
        self.exhaust({"_id": {"$in": ids}, "claim": claim, "status": RUNNING}, READ_BACK, BY_ID)


class ReadWhole(Pipeline):
    """A claim is read back with all fields."""

    def read_batch(self, claim: str, ids: list[ObjectId]) -> None:
        self.exhaust({"boot": self.boot, "claim": claim, "status": RUNNING}, None, "held")


class InTransactions(Pipeline):
    """Each batch is a transaction, and so one entry of the oplog."""

    def claim_batch(self, claim: str, ids: list[ObjectId]) -> None:
        waiting = {"_id": {"$in": ids}, "status": WAITING}
        with self._transaction() as session:
            self.jobs.update_many(waiting, self.claim_update(claim), hint=BY_ID, session=session)

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        held = {"_id": {"$in": ids}, "status": RUNNING, "claim": claim}
        with self._transaction() as session:
            self.jobs.update_many(held, self.finish_update(), hint=BY_ID, session=session)

    @contextmanager
    def _transaction(self) -> Iterator[ClientSession]:
        with self.jobs.database.client.start_session() as session, session.start_transaction(write_concern=DURABLE):
            yield session


class Unlogged(Pipeline):
    """Nothing is written to the log of status changes."""

    def log(self) -> None:
        """Writes nothing."""


class LoggedInBrief(Pipeline):
    """The log of status changes names ids alone."""

    def log(self) -> None:
        for status in (RUNNING, DONE):
            for _, ids in self.batches:
                self.events.insert_one({"_id": ObjectId(), "node": NODE, "status": status, "jobs": ids})


class Without(ReadByIds):
    """Some indexes are missing; a claim is read back by ids in case it is `held`."""

    def __init__(self, database: Database[Document], size: int, names: str) -> None:
        super().__init__(database, size)
        for name in names.split():
            self.jobs.drop_index(name)


UNUSED = "gate blocked pending failures"  #: of jobs with a field that plain ones do not have

ENDED = "retention_failed retention_canceled retention_timeout"  #: of other ends

FORMS: dict[str, type[Pipeline]] = {
    "today": Pipeline,
    "fewer dates": FewerDates,
    "dates of the node": DatesSet,
    "in pipelines": InPipelines,
    "status equals": StatusEquals,
    "ends without costs": WithoutCosts,
    "ends by twenty": Grouped,
    "ends one by one": OneByOne,
    "the same, retried": OneByOneRetried,
    "results": Results,
    "results one by one": ResultsOneByOne,
    "not in the journal": Unconfirmed,
    "read back by ids": ReadByIds,
    "read back whole": ReadWhole,
    "no log": Unlogged,
    "log of ids": LoggedInBrief,
    "in transactions": InTransactions,
}

#: indexes that a claim or an end changes; those that it leaves alone, but has the server judge; and the latter in parts
INDEXES = {
    "held": "held",
    "live_list": "live_list",
    "retention_done": "retention_done",
    "untouched ones": f"{UNUSED} {ENDED} due unsuccessful",
    "those of fields": UNUSED,
    "other retention": ENDED,
}


def main() -> None:
    """Prints the table."""
    count, rounds, size = arguments()
    ways: dict[str, Way] = {name: partial(form, size=size) for name, form in FORMS.items()}
    ways |= {f"without {name}": partial(Without, size=size, names=names) for name, names in INDEXES.items()}
    compare({name: (way, Design()) for name, way in ways.items()}, count, rounds)


if __name__ == "__main__":
    main()
