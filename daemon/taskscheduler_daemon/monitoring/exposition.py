"""Writes values as Prometheus reads them, with `prometheus-client`, which the extra `metrics` installs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.metrics.histogram import BOUNDS, Histogram
from taskscheduler_daemon.monitoring.families import COUNTER, FAMILIES, GAUGE, PREFIX, Family, Value

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

NEEDS = "prometheus-client, which is not installed: pip install 'mongo-taskscheduler[metrics]'"


class Exposition(NamedTuple):
    """What is answered to a scrape."""

    body: bytes
    content_type: str


def is_installed() -> bool:
    """Whether values can be written. Imports nothing."""
    return find_spec("prometheus_client") is not None


def check_installed(option: str) -> None:
    """Raises InvalidOptionError for an option that needs the extra `metrics` if that is not installed."""
    if not is_installed():
        raise InvalidOptionError(f"option {option} needs {NEEDS}")


def build_info() -> Value:
    """Returns the version of this distribution."""
    try:
        return Value("build_info", (version("mongo-taskscheduler"),), 1)
    except PackageNotFoundError:
        return Value("build_info", ("unknown",), 1)


def exposition(values: Iterable[Value], accept: str = "") -> Exposition:
    """Returns values in the format that a scraper accepts: the text format, or OpenMetrics."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - takes some MB, and only this needs it
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - the same

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Values(values))
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry), content_type)


class _Values:
    """A collector, as a registry takes it."""

    def __init__(self, values: Iterable[Value]) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        """Yields the families that have values."""
        found: dict[str, list[Value]] = {}
        for value in self._values:
            found.setdefault(value.name, []).append(value)
        for name, family in FAMILIES.items():
            if name in found:
                yield _metric(family, found[name])


def _metric(family: Family, values: list[Value]) -> Metric:
    from prometheus_client import metrics_core  # noqa: PLC0415 - as above

    name, labels = PREFIX + family.name, family.labels
    if family.kind in (COUNTER, GAUGE):
        kind = metrics_core.CounterMetricFamily if family.kind == COUNTER else metrics_core.GaugeMetricFamily
        numbers = kind(name, family.text, labels=labels)
        for value in values:
            if not isinstance(value.value, Histogram):
                numbers.add_metric(value.labels, value.value)
        return numbers
    histograms = metrics_core.HistogramMetricFamily(name, family.text, labels=labels)
    for value in values:
        if isinstance(value.value, Histogram):
            histograms.add_metric(value.labels, _cumulative(value.value), value.value.sum)
    return histograms


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Returns how many durations do not exceed each bound."""
    return list(zip([*map(repr, BOUNDS), "+Inf"], accumulate(histogram.buckets), strict=True))
