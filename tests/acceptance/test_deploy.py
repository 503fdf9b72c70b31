"""What is shipped for Prometheus and Grafana names only metrics and labels that the exporters have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support.pages import ROOT

from taskscheduler_daemon.monitoring.families import FAMILIES, HISTOGRAM, OF_THE_CLUSTER

DEPLOY = ROOT / "daemon" / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())
RULES = (DEPLOY / "alerts.yml").read_text()

_METRIC = re.compile(r"(taskscheduler_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")

#: labels by the names of metrics, as they are scraped
KNOWN = {
    name: {*family.labels, *(("le",) if name.endswith("_bucket") else ())}
    for family in FAMILIES.values()
    for name in (
        [f"{family.full_name}_{part}" for part in ("bucket", "sum", "count")]
        if family.kind == HISTOGRAM
        else [family.full_name]
    )
}


def expressions() -> Iterator[str]:
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", []))
    yield from re.findall(r"expr: (?!>-)(.+)", RULES)
    yield from (" ".join(block.split()) for block in re.findall(r"expr: >-\n((?: {10}.+\n)+)", RULES))


def test_every_metric_and_every_label_exists() -> None:
    found = list(expressions())
    assert len(found) > 30
    for expression in found:
        metrics = _METRIC.findall(expression)
        assert metrics, expression
        for name, selector in metrics:
            assert name in KNOWN, expression
            assert set(_LABEL.findall(selector)) <= KNOWN[name], expression
        allowed = set.union(*(KNOWN[name] for name, _ in metrics))
        for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= allowed, expression


def test_legends_and_variables_name_labels_that_exist() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            names = {name for metric, _ in _METRIC.findall(target["expr"]) for name in KNOWN[metric]}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= names, target
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    for name in {used for expression in expressions() for used in re.findall(r"\$(\w+)", expression)}:
        assert name in variables or name == "__rate_interval"
    for one in variables.values():
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"]["query"])
            assert found is not None
            assert found[2] in KNOWN[found[1]]


def test_values_of_the_cluster_are_never_added_up() -> None:
    """Every node and the web process tell the same: a sum would count it once for each."""
    of_the_cluster = re.compile(r"\bsum\s*(?:by \([^)]*\)\s*)?\(\s*(taskscheduler_\w+)")
    names = {family.full_name for family in OF_THE_CLUSTER}
    assert {name for expression in expressions() for name in of_the_cluster.findall(expression)}.isdisjoint(names)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
