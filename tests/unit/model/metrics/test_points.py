"""Points of a chart, and rows of classes and queues, from what is stored; and portions, which are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.metrics.counts import MOST_SERIES, Counts, Room, Sample, Series
from taskscheduler.model.metrics.points import MetricRow, points, rows, series_sums
from taskscheduler.model.metrics.steps import MINUTE, range_of
from taskscheduler.model.metrics.tally import Tally

NOW = datetime(2026, 11, 30, 10, 20, tzinfo=UTC)


def minutes_ago(count: int, **fields: Any) -> dict[str, Any]:
    return {"_id": MINUTE.key(NOW - timedelta(minutes=count)), **fields}


def series(job: str, queue: str = "default", **counts: Any) -> dict[str, Any]:
    return {"job": job, "queue": queue, **counts}


def rows_of(stored: list[dict[str, Any]], *by: str) -> dict[str, list[MetricRow]]:
    return rows([series_sums(stored)], by)


def test_each_step_has_a_point_and_steps_are_added_up() -> None:
    time = range_of(NOW - timedelta(minutes=20), NOW, 600, NOW)
    stored = [
        minutes_ago(20, total={"done": 1, "wait": {"3": 1}, "wait_sum": 0.01}),
        minutes_ago(11, total={"done": 2, "failed": 1, "wait": {"3": 2}, "wait_sum": 0.02}),
        minutes_ago(2000, total={"done": 100}),
    ]
    first, second = points(time, stored)
    assert (first.at, first.seconds) == (NOW - timedelta(minutes=20), 600)
    assert (first.ended, first.failures, first.outcomes["done"], first.wait.count) == (4, 1, 3, 3)
    assert first.per_second == 4 / 600
    assert (second.ended, second.wait.quantile(0.5)) == (0, None)


def test_documents_that_were_read_for_a_class_count_its_series_only() -> None:
    time = range_of(NOW - timedelta(minutes=1), NOW, 60, NOW)
    found = points(time, [minutes_ago(1, series=[series("Mail", done=1), series("Mail", "slow", done=2)])])
    assert [point.ended for point in found] == [3]


def test_rows_are_those_of_classes_or_queues_with_the_busiest_first() -> None:
    stored = [
        minutes_ago(1, series={"a": series("Mail", done=1), "b": series("Report", "slow", retried=5)}),
        minutes_ago(2, series={"a": series("Mail", failed=1)}),
    ]
    assert [(row.name, row.ended, row.counts.attempts) for row in rows_of(stored, "job")["job"]] == [
        ("Report", 0, 5),
        ("Mail", 2, 2),
    ]
    assert [row.name for row in rows_of(stored, "job", "queue")["queue"]] == ["slow", "default"]


def test_rows_add_up_parts_and_change_none_of_them() -> None:
    stored = [
        minutes_ago(1, series={"a": series("Mail", done=1)}),
        minutes_ago(2, series={"a": series("Mail", done=2)}),
    ]
    parts = [series_sums([one]) for one in stored]
    for _ in range(2):
        assert [row.ended for row in rows(parts, ["job"])["job"]] == [3]


def test_an_odd_document_hides_no_other() -> None:
    time = range_of(NOW - timedelta(minutes=2), NOW, 60, NOW)
    odd: list[dict[str, Any]] = [
        {},
        {"_id": 5},
        minutes_ago(1, total="much"),
        minutes_ago(1, total={"done": "x", "failed": -1, "wait": 5, "run": {"99": 1}}),
        minutes_ago(1, series={"a": 5, "b": {"job": 5, "queue": "x"}, "c": {}}),
        minutes_ago(1, series="x"),
        minutes_ago(1, total={"done": 7}),
    ]
    assert [point.ended for point in points(time, odd)] == [0, 7]
    assert rows_of(odd, "job") == {"job": []}


# -- what is to be stored ---------------------------------------------------------------------------------------------


def done(job: str = "Mail", queue: str = "default") -> Sample:
    return Sample(Series(job, queue), Ending.SUCCEEDED, 0.1, 0.2, Status.DONE)


def test_what_was_counted_is_divided_by_minutes_and_taken_once_in_its_order() -> None:
    tally = Tally()
    tally.add([done(), done("Report")], NOW)
    tally.add([done()], NOW + timedelta(seconds=59))
    tally.add([done()], NOW + timedelta(seconds=60))
    first, second = tally.take(), tally.take()
    assert first is not None
    assert second is not None
    assert (first.minute, first.number, first.total.ended) == (NOW, 1, 3)
    assert (second.minute, second.number, second.total.ended) == (NOW + timedelta(minutes=1), 2, 1)
    assert tally.take() is None
    tally.add([done()], NOW)
    third = tally.take()
    assert third is not None
    assert (third.minute, third.number, third.total.ended) == (NOW, 3, 1), "the same minute, another portion"


def test_a_node_keeps_few_series_however_many_names_there_are() -> None:
    tally = Tally()
    tally.add([done(f"Job{number}", f"queue-{number}") for number in range(10_000)], NOW)
    portion = tally.take()
    assert portion is not None
    assert len(portion.series) <= MOST_SERIES + 1
    assert portion.total.ended == 10_000


def test_what_has_no_room_in_the_hour_of_the_cluster_is_counted_as_other() -> None:
    tally = Tally()
    tally.add([done(), done("New"), done("New", "b"), done("Newer")], NOW)
    portion = tally.take()
    assert portion is not None
    portion.fit(Room([Series("Mail", "default"), *(Series("X", str(number)) for number in range(MOST_SERIES - 2))]))
    counted = {key: counts.ended for key, counts in portion.series.items()}
    assert counted == {Series("Mail", "default"): 1, Series("New", "other"): 2, Series("other", "other"): 1}
    assert isinstance(portion.total, Counts)
