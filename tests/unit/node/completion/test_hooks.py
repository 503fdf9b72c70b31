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

BOOT = ObjectId()


class Bench:
    """A database in which the hook of one job is due, and a manager."""

    def __init__(self) -> None:
        self.store, self.manager, self.job_id = FakeStore(), FakeManager(), ObjectId()
        self.store.claims.documents[self.job_id] = RawBSONDocument(bson.encode({"_id": self.job_id, "class": "noted"}))
        self.store.outbox.hooks.add(self.job_id)
        self.hooks = HookCalls(self.store.store, self.manager.proxy, BOOT)

    def is_due(self) -> bool:
        return self.job_id in self.store.outbox.hooks

    def report(self, ending: Ending, attempt: int = NOTIFICATION, body: bytes = b"") -> Report:
        return Report(Kind.REPORT, ending, self.job_id.binary, attempt, NO_WORKER, 0.0, body)


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
    bench.store.faults.fail("outbox.return_hook", AutoReconnect("cut"))
    bench.hooks.finished(bench.report(Ending.UNSTARTED))
    assert "notification delayed" in caplog.text


def test_a_node_that_stops_leaves_them_to_others(bench: Bench) -> None:
    bench.hooks.stop()
    bench.hooks.call(bench.job_id)
    assert (bench.manager.dispatched, bench.is_due()) == ([], True)


def test_one_of_a_class_that_is_not_registered_here_is_left_to_other_nodes(bench: Bench) -> None:
    bench.hooks.call(bench.job_id)
    bench.hooks.finished(bench.report(Ending.UNSTARTED, body=bson.encode({"unknown": "noted"})))
    assert (bench.is_due(), bench.hooks.unknown) == (True, frozenset({"noted"}))
    bench.manager.runs.clear()
    bench.hooks.call(bench.job_id)
    assert (bench.manager.dispatched, bench.is_due()) == ([], True)


@pytest.mark.parametrize("ending", [Ending.SUCCEEDED, Ending.LOST])
def test_one_that_was_called_is_noted_with_the_next_flush(bench: Bench, ending: Ending) -> None:
    bench.hooks.call(bench.job_id)
    bench.hooks.flush()
    assert bench.store.outbox.held == {bench.job_id}
    bench.hooks.finished(bench.report(ending))
    bench.store.faults.fail("outbox.end_hooks", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.hooks.flush()
    bench.hooks.flush()
    assert (bench.store.outbox.held, bench.is_due()) == (set(), False)


def test_what_was_not_called_to_its_end_is_left_to_others_when_the_node_ends(bench: Bench) -> None:
    bench.hooks.call(bench.job_id)
    bench.hooks.close()
    assert (bench.store.outbox.held, bench.is_due()) == (set(), True)
