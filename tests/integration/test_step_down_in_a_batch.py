"""A primary that steps down in the middle of a batch refuses writes one by one: they are made again, not given up."""

from __future__ import annotations

from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import BulkWriteError
from tests.support.eventually import eventually

from taskscheduler import DuplicateJobError, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence
from taskscheduler.store.flows.flow_node import NO_NODE
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from taskscheduler_daemon.node.completion.completer import Completer, Logs
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.meter import Meter
from taskscheduler_daemon.system.threads import SessionThreads

_NOT_PRIMARY = {"index": 0, "code": 189, "errmsg": "Not primary while writing to app.taskscheduler.jobs"}


class Stepping:
    """A collection that does the first batch in part and says that it is no primary any more for the rest."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.refused = 0

    def insert_many(self, documents: list[Any], **options: Any) -> Any:
        if self.refused:
            return self._collection.insert_many(documents, **options)
        self.refused += 1
        self._collection.insert_many(documents[1:], **options)
        raise BulkWriteError({"writeErrors": [_NOT_PRIMARY]})

    def bulk_write(self, writes: list[Any], **options: Any) -> Any:
        if self.refused:
            return self._collection.bulk_write(writes, **options)
        self.refused += 1
        raise BulkWriteError({"writeErrors": [_NOT_PRIMARY]})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


def test_a_batch_of_jobs_is_stored_all_the_same(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    inserts = scheduler.store.inserts
    stepping = Stepping(inserts.collection)
    monkeypatch.setattr(inserts, "collection", stepping)
    added = scheduler.add_jobs(["noop"] * 3)
    assert stepping.refused == 1
    assert {process.id for process in scheduler.get_jobs()} == {process.id for process in added}


def test_a_stranger_in_the_batch_is_still_found(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, inserts = scheduler.add_job("other"), scheduler.store.inserts
    monkeypatch.setattr(inserts, "collection", Stepping(inserts.collection))
    monkeypatch.setattr(inserts, "taken_ids", lambda ids: [])  # it was added just now
    with pytest.raises(DuplicateJobError, match=str(taken.id)):
        scheduler.add_jobs([("noop", None, {"id": taken.id}), "noop"])


def test_a_job_that_is_done_is_not_made_to_fail(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    process, completions = scheduler.add_job("noop"), scheduler.store.completions
    scheduler.store.claims.claim([process.id], "claim", process.id, "node")
    stepping = Stepping(completions.collection)
    monkeypatch.setattr(completions, "collection", stepping)
    store = scheduler.store
    hooks = HookCalls(store, cast(ManagerProxy, None), ObjectId())
    completer = Completer(
        store=store,
        options=NodeOptions(name="node"),
        aftermath=Aftermath(store, "node", hooks, NO_NODE, InFlight(), Meter(store.clock)),
        locks=ExclusiveLocks(store, Lease(30.0, SYSTEM_CLOCK)),
        logs=Logs(JobLog(SYSTEM_CLOCK), LogBook(store, InFlight(), SYSTEM_CLOCK, SessionThreads(lambda: None))),
        clock=SYSTEM_CLOCK,
        threads=SessionThreads(lambda: None),
    )
    completer.start()
    try:
        completer.submit(Completion(Fence(process.id, "claim", 1), Verdict(Transition.SUCCEED), "worker"))
        eventually(lambda: process.refresh().status.is_final, 20, "the end")
    finally:
        completer.stop()
    assert stepping.refused == 1
    assert process.status is Status.DONE
