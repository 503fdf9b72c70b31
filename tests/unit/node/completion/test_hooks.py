"""Notification hooks are called once each, whatever the database answers in between."""

from __future__ import annotations

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeManager, FakeStore

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import NO_WORKER, Kind, Report
from taskscheduler_daemon.node.completion.hooks import NOTIFICATION, HookCalls


class Bench:
    """A database in which the hook of one job is due, and a manager."""

    def __init__(self) -> None:
        self.store, self.manager, self.job_id = FakeStore(), FakeManager(), ObjectId()
        self.store.claims.documents[self.job_id] = RawBSONDocument(bson.encode({"_id": self.job_id}))
        self.store.outbox.hooks.add(self.job_id)
        self.hooks = HookCalls(self.store.store, self.manager.proxy)

    def is_due(self) -> bool:
        return self.job_id in self.store.outbox.hooks

    def report(self, ending: Ending, attempt: int = NOTIFICATION) -> Report:
        return Report(Kind.REPORT, ending, self.job_id.binary, attempt, NO_WORKER, 0.0, b"")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_one_whose_job_could_not_be_read_is_still_due(bench: Bench) -> None:
    bench.store.faults.fail("claims.raw_document", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.hooks.call(bench.job_id)
    assert bench.is_due()
    bench.hooks.call(bench.job_id)
    bench.hooks.call(bench.job_id)
    assert (bench.manager.dispatched, bench.is_due()) == ([bench.job_id], False)


def test_a_job_that_was_deleted_has_none(bench: Bench) -> None:
    bench.store.claims.documents.clear()
    bench.hooks.call(bench.job_id)
    assert bench.manager.dispatched == []


def test_one_that_no_worker_had_time_for_is_due_again(bench: Bench) -> None:
    bench.hooks.call(bench.job_id)
    bench.hooks.finished(bench.report(Ending.UNSTARTED, attempt=1))
    assert not bench.is_due(), "that was an attempt"
    bench.hooks.finished(bench.report(Ending.UNSTARTED))
    assert bench.is_due()
    bench.store.outbox.hooks.clear()
    bench.hooks.finished(bench.report(Ending.UNSTARTED))
    assert not bench.is_due(), "it was reported twice"


@pytest.mark.parametrize("ending", [Ending.SUCCEEDED, Ending.FAILED, Ending.LOST])
def test_one_that_was_called_is_not(bench: Bench, ending: Ending) -> None:
    bench.hooks.call(bench.job_id)
    bench.hooks.finished(bench.report(ending))
    bench.hooks.finished(bench.report(Ending.UNSTARTED))
    assert not bench.is_due()


def test_one_that_cannot_be_put_back_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.hooks.call(bench.job_id)
    bench.store.faults.fail("outbox.restore", AutoReconnect("cut"))
    bench.hooks.finished(bench.report(Ending.UNSTARTED))
    assert "notification lost" in caplog.text


def test_a_node_that_stops_leaves_them_to_others(bench: Bench) -> None:
    bench.hooks.stop()
    bench.hooks.call(bench.job_id)
    assert (bench.manager.dispatched, bench.is_due()) == ([], True)
