"""What a node has counted is stored in its order, repeated until that is known to be done, and then never again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, OperationFailure, WriteError
from tests.unit.node.fakes import SERVER_NOW, FakeStore, attempt, lease, report

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler_daemon.node.maintenance.metrics_writer import MetricsWriter
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.meter import Meter

MAIL = Series("Mail", "default")


class Moving:
    """The clock of the server, which only we move."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 30, 10, 20, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def pause(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Bench:
    """A writer, its store, and the clock."""

    def __init__(self) -> None:
        self.fake, self.clock = FakeStore(), Moving()
        self.meter = Meter(self.clock)
        self.writer = MetricsWriter(self.fake.store, NodeIdentity(ObjectId(), "node"), self.meter, lease())

    def done(self, count: int = 1, series: Series = MAIL) -> None:
        self.meter.count([Sample(series, Ending.SUCCEEDED, 0.1, 0.2, Status.DONE)] * count)

    @property
    def calls(self) -> list[str]:
        return self.fake.faults.calls

    @property
    def stored(self) -> list[tuple[int, int]]:
        """The numbers of the portions, and how many jobs each counts."""
        return [(portion.number, portion.total.ended) for portion in self.fake.metrics.portions]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_idle_node_asks_the_database_nothing(bench: Bench) -> None:
    bench.writer.run()
    bench.writer.run_last()
    assert bench.calls == []


def test_one_write_stores_everything_that_was_counted(bench: Bench) -> None:
    bench.done(5)
    bench.writer.run()
    bench.writer.run()
    assert bench.stored == [(1, 5)]


def test_only_new_names_are_looked_up_and_again_in_each_hour(bench: Bench) -> None:
    for _ in range(3):
        bench.done()
        bench.writer.run()
    assert bench.calls.count("metrics.room") == 1
    bench.done(series=Series("Mail", "slow"))
    bench.writer.run()
    assert bench.calls.count("metrics.room") == 2
    bench.clock.pause(3600)
    bench.done()
    bench.writer.run()
    assert bench.calls.count("metrics.room") == 3


def test_what_may_have_been_stored_is_repeated_under_its_number_before_anything_else(bench: Bench) -> None:
    bench.done(5)
    bench.fake.faults.fail("metrics.add", AutoReconnect("cut"), AutoReconnect("cut"))
    for _ in range(2):
        with pytest.raises(AutoReconnect):
            bench.writer.run()
        bench.done()
    bench.writer.run()
    bench.writer.run()
    assert bench.stored == [(1, 5), (2, 2)]


def test_what_a_node_counted_last_is_stored_as_it_stops(bench: Bench) -> None:
    bench.done(5)
    bench.clock.pause(60)
    bench.done(2)
    bench.writer.run_last()
    assert bench.stored == [(1, 5), (2, 2)]


def test_a_node_that_stops_does_not_wait_for_a_database_that_is_away(bench: Bench) -> None:
    bench.done()
    bench.fake.faults.fail("metrics.add", AutoReconnect("cut"))
    bench.writer.run_last()
    assert bench.stored == []


def test_a_document_that_takes_no_counts_stops_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.done()
    bench.fake.faults.fail("metrics.add", WriteError("cannot apply $inc", 14, {"writeErrors": [{"code": 14}]}))
    bench.writer.run()
    bench.done(3)
    bench.writer.run()
    assert bench.stored == [(2, 3)]
    assert "its document is odd" in caplog.text


def test_a_node_that_may_not_store_it_says_so_once_and_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.fake.faults.fail("metrics.add", *[OperationFailure("not authorized on app", 13)] * 3)
    for _ in range(3):
        bench.done()
        bench.writer.run()
    assert bench.calls.count("metrics.add") == 1
    assert caplog.text.count("this user needs insert, update and listIndexes on taskscheduler.metrics") == 1


def test_past_days_are_folded_one_at_a_time_then_looked_for_once_an_hour(bench: Bench) -> None:
    bench.fake.metrics.days = 2
    for folds in (1, 2, 3, 3, 3):
        bench.done()
        bench.writer.run()
        assert bench.calls.count("metrics.fold_a_day") == folds
    bench.fake.clock = cast(Any, bench.clock)
    bench.done()
    bench.writer.run()
    assert bench.calls.count("metrics.fold_a_day") == 4
    bench.clock.pause(3600)
    bench.done()
    bench.writer.run_last()
    assert bench.calls.count("metrics.fold_a_day") == 4


def test_a_day_that_cannot_be_folded_keeps_no_portion_from_being_stored(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.fake.faults.fail("metrics.fold_a_day", AutoReconnect("cut"), WriteError("too large", 10334))
    bench.done()
    with pytest.raises(AutoReconnect):
        bench.writer.run()
    for _ in range(2):
        bench.done()
        bench.writer.run()
    assert bench.stored == [(1, 1), (2, 1), (3, 1)]
    assert bench.calls.count("metrics.fold_a_day") == 2
    assert caplog.text.count("is not folded") == 1


# -- what an attempt counts -------------------------------------------------------------------------------------------


def test_a_wait_is_counted_from_when_the_attempt_was_due(bench: Bench) -> None:
    job: dict[str, Any] = {"class": "Mail", "queue": "mail", "at": SERVER_NOW}
    one = attempt(**job)
    began = SERVER_NOW.timestamp() + 1.5
    sample = bench.meter.sample(one, report(one, Ending.SUCCEEDED)._replace(seconds=0.25), began)
    assert sample == (Series("Mail", "mail"), Ending.SUCCEEDED, 1.5, 0.25, Status.PROCESSING)
    unknown = bench.meter.sample(attempt(at=5), report(one, Ending.LOST), 0.0)
    assert (unknown.wait, unknown.run) == (None, None)
