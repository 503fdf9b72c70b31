"""Charts of what nodes have counted."""

from __future__ import annotations

from datetime import timedelta

from tests.support.tables import table
from tests.unit.presentation.fakes import NOW

from taskscheduler.model.metrics.counts import Counts
from taskscheduler.model.metrics.points import MetricPoint
from taskscheduler_daemon.web.pages.charts import latency, sums, throughput


def point(number: int, seconds: int = 60, ran: tuple[float, ...] = (), **outcomes: int) -> MetricPoint:
    counts = Counts()
    counts.outcomes |= outcomes
    for one in ran:
        counts.run.add(one)
    return MetricPoint(counts, NOW + timedelta(seconds=number * seconds), seconds)


def test_bars_stand_on_each_other_and_below_the_top() -> None:
    drawn = throughput([point(0, done=60, failed=20), point(1), point(2, done=80)])
    first, empty, last = drawn["columns"]
    assert [(one["name"], one["y"], one["height"]) for one in first["parts"]] == [
        ("done", "25.00", "75.00"),
        ("failed", "0.00", "25.00"),
    ]
    assert empty["parts"] == []
    assert last["parts"][0]["height"] == "100.00"
    assert first["text"].endswith(": 60 done, 20 failed")
    assert empty["text"].endswith(": none")
    assert [line["text"] for line in drawn["grid"]] == ["40", "80"]


@table(
    ("most", "top"), [(0, "2"), (1, "2"), (3, "4"), (81, "82"), (101, "120"), (4812, "5 000"), (999_999, "1 000 000")]
)
def test_the_scale_ends_at_a_round_number(most: int, top: str) -> None:
    assert throughput([point(0, done=most)])["grid"][1]["text"] == top


def test_times_are_lines_with_gaps_on_a_scale_of_tens() -> None:
    drawn = latency([point(0, ran=(0.9,)), point(1), point(2, ran=(9.0,) * 5), point(3, ran=(8.0,))], "run")
    half, most = drawn["lines"]
    assert (half["name"], most["name"]) == ("p50", "p95")
    assert half["paths"].count("M") == 2, "nothing is drawn where nothing is known"
    assert half["paths"].count("L") == 1
    assert [line["text"] for line in drawn["grid"]] in (["1s", "10s"], ["10s"])
    assert latency([point(0)], "run")["is_empty"]


def test_nothing_leaves_the_chart_however_long_it_took() -> None:
    drawn = latency([point(0, ran=(1e-9, 1e12)), point(1, ran=(0.0,))], "run")
    heights = [float(part.split()[1].split("h")[0]) for line in drawn["lines"] for part in line["paths"].split("M")[1:]]
    assert all(0 <= height <= 100 for height in heights)
    assert throughput([])["columns"] == []


def test_outcomes_are_added_up() -> None:
    assert sums([point(0, done=3, failed=1), point(1, done=4)]) == {"done": 7, "canceled": 0, "failed": 1, "timeout": 0}
