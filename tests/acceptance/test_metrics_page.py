"""The page on metrics has every name with its type, its labels and its meaning, and no other."""

from __future__ import annotations

import re

from tests.support.pages import DOCS, ROOT

from taskscheduler.model.metrics.counts import MOST_SERIES
from taskscheduler_daemon.monitoring.cluster_gauges import _BLOCKED
from taskscheduler_daemon.monitoring.families import FAMILIES

PAGE = (DOCS / "reference" / "metrics.md").read_text()


def test_the_page_has_every_family_as_the_code_has_it() -> None:
    rows = re.findall(r"^\| `(taskscheduler_\w+)` \| (\w+) \| (.*?)\| (.*) \|$", PAGE, re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}
    assert told == {family.full_name: (family.kind, family.labels, family.text) for family in FAMILIES.values()}


def test_the_page_explains_every_label() -> None:
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", PAGE, re.MULTILINE))))
    assert {label for family in FAMILIES.values() for label in family.labels} <= explained
    assert all(f"`{code.lower()}`" in PAGE for code in _BLOCKED)
    assert f"{MOST_SERIES} pairs" in PAGE


def test_other_pages_name_only_metrics_that_exist() -> None:
    known = {family.full_name for family in FAMILIES.values()}
    for page in DOCS.rglob("*.md"):
        named = set(re.findall(r"`(taskscheduler_\w+_(?:total|seconds|jobs|info|up|max))`", page.read_text()))
        assert named <= known, page


def test_the_page_on_watching_has_every_alert() -> None:
    rules = (ROOT / "daemon" / "deploy" / "alerts.yml").read_text()
    told = re.findall(r"^\| `(Taskscheduler\w+)` \|", (DOCS / "how-to" / "watch.md").read_text(), re.MULTILINE)
    assert told == re.findall(r"- alert: (\w+)", rules)
