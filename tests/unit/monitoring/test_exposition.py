"""Values as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taskscheduler.model.metrics.histogram import BOUNDS, Histogram
from taskscheduler_daemon.monitoring.exposition import exposition
from taskscheduler_daemon.monitoring.families import Value


def test_buckets_are_cumulative() -> None:
    histogram = Histogram()
    for seconds in (0.0005, 0.3, 0.3, 100_000.0):
        histogram.add(seconds)
    text = exposition([Value("job_wait_seconds", ("Mail", "default"), histogram)]).body.decode()
    [family] = text_string_to_metric_families(text)
    found = {sample.labels.get("le", sample.name[-5:]): sample.value for sample in family.samples}
    assert (found["0.001"], found["0.25"], found["0.5"], found["86400.0"], found["+Inf"]) == (1, 1, 3, 3, 4)
    assert found["count"] == 4
    assert found["s_sum"] == pytest.approx(100_000.6005)
    assert len(found) == len(BOUNDS) + 3


def test_labels_may_hold_anything() -> None:
    name = 'a"b\\c\nd} 1\ntaskscheduler_evil 1'
    text = exposition([Value("jobs", ("waiting", name), 3)]).body.decode()
    [family] = text_string_to_metric_families(text)
    assert [(sample.labels["queue"], sample.value) for sample in family.samples] == [(name, 3)]


def test_families_without_a_value_are_left_out() -> None:
    assert exposition([]).body == b""
