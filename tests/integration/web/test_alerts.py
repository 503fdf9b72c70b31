"""Each alert fires for its cause, as Prometheus itself evaluates what was scraped; and none for a sound cluster.

The rules are evaluated by `promtool`, which the package `prometheus` of Debian has: named by PROMTOOL, on the path, or
beside the interpreter, where `tests/setup.sh` puts it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tests.support.pages import ROOT

from taskscheduler import Job, Scheduler
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler_daemon.monitoring import cluster_gauges
from taskscheduler_daemon.monitoring.cluster_gauges import ClusterGauges
from taskscheduler_daemon.monitoring.exposition import exposition
from taskscheduler_daemon.node.state.totals import Totals

PROMTOOL = os.environ.get("PROMTOOL") or shutil.which(
    "promtool", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{Path(sys.executable).parent}"
)
RULES = ROOT / "daemon" / "deploy" / "alerts.yml"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: sh tests/setup.sh test")

Samples = dict[str, float]


class Nightly(Job):
    """A job of a schedule."""

    name = "alerts.nightly"

    def start(self) -> None:
        """Does nothing."""


def read(text: str) -> Samples:
    """The samples of a scrape by their names with labels, as rules take them."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ", ".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def series(before: Samples, after: Samples) -> list[dict[str, str]]:
    """What was scraped each minute: counters grow for a quarter of an hour, everything else is as it is."""
    return [
        {
            "series": name,
            "values": f"{start}+{(value - start) / 15:f}x15 {value}+0x30" if "_total" in name else f"{value}+0x45",
        }
        for name, value in after.items()
        for start in [before.get(name, 0.0)]
    ]


def firing(folder: Path, before: Samples, after: Samples) -> set[str]:
    """The alerts that fire while this is scraped."""
    fires = 'count(ALERTS{{alertname="{}", alertstate="firing"}}) > bool 0 or vector(0)'
    asked = [
        {"expr": fires.format(alert), "eval_time": "16m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for alert in ALERTS
    ]
    test = {"interval": "1m", "input_series": series(before, after), "promql_expr_test": asked}
    file = folder / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    silent = set(re.findall(r'expr: "count\(ALERTS\{alertname=\\"(\w+)\\"', said))
    assert done.returncode == 0 or silent, said
    return set(ALERTS) - silent


@pytest.fixture
def scrape(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Samples]:
    monkeypatch.setattr(cluster_gauges, "_FRESH", 0.0)
    return lambda: read(client.get("/metrics").text)


def register(scheduler: Scheduler, name: str = "web-1") -> ObjectId:
    boot = ObjectId()
    scheduler.store.nodes.register(boot, {"name": name, "slots": 1})
    return boot


def told(totals: Totals) -> Samples:
    return read(exposition(totals.values("web-1")).body.decode())


def counted(*samples: Sample) -> Samples:
    totals = Totals()
    totals.count(samples)
    return told(totals)


MAIL = Series("Mail", "default")
DONE = Sample(MAIL, Ending.SUCCEEDED, 0.1, 0.1, Status.DONE)
FAILED = Sample(MAIL, Ending.FAILED, 0.1, 0.1, Status.FAILED)
LOST = Sample(MAIL, Ending.LOST, 0.1, 0.1, Status.WAITING)


@needs_promtool
def test_a_sound_cluster_fires_no_alert(scheduler: Scheduler, scrape: Callable[[], Samples], tmp_path: Path) -> None:
    register(scheduler)
    scheduler.schedules.add("nightly", Nightly, every=60)
    scheduler.add_job("noop")
    busy = counted(*[DONE] * 100, *[FAILED] * 4, LOST)
    assert firing(tmp_path, {**scrape(), **counted(DONE)}, {**scrape(), **busy}) == set()


@needs_promtool
def test_no_node_is_up(scheduler: Scheduler, scrape: Callable[[], Samples], tmp_path: Path) -> None:
    assert firing(tmp_path, scrape(), scrape()) == {"TaskschedulerNoNode"}
    assert firing(tmp_path, {}, {"up{}": 0.0}) == {"TaskschedulerNoNode"}, "nothing is scraped"
    scheduler.add_job("noop")
    assert firing(tmp_path, scrape(), scrape()) == {"TaskschedulerNoNode", "TaskschedulerJobsWithoutNode"}


@needs_promtool
def test_the_database_is_away(tmp_path: Path, scheduler: Scheduler) -> None:
    away = read(exposition(ClusterGauges(scheduler.store.clock).values(None)).body.decode())
    assert "TaskschedulerDatabaseDown" in firing(tmp_path, away, away)


@needs_promtool
def test_the_state_of_the_cluster_fires(scheduler: Scheduler, scrape: Callable[[], Samples], tmp_path: Path) -> None:
    """One cause after another, so that the new alert is that of the new cause."""
    store = scheduler.store
    register(scheduler)
    assert firing(tmp_path, scrape(), scrape()) == set()
    lost, ago = register(scheduler, "web-2"), store.clock.now() - timedelta(minutes=5)
    store.database["taskscheduler.nodes"].update_one({"_id": lost}, {"$set": {"alive": ago}})
    expected = {"TaskschedulerNodeLost"}
    assert firing(tmp_path, scrape(), scrape()) == expected
    scheduler.add_job("noop", at=store.clock.now() - timedelta(minutes=20))
    expected.add("TaskschedulerJobsWaitLong")
    assert firing(tmp_path, scrape(), scrape()) == expected
    scheduler.schedules.add("nightly", Nightly, every=60)
    store.schedules.collection.update_one({}, {"$set": {"due_at": store.clock.now() - timedelta(minutes=5)}})
    expected.add("TaskschedulerScheduleLate")
    assert firing(tmp_path, scrape(), scrape()) == expected
    assert expected < set(ALERTS)


@needs_promtool
@pytest.mark.parametrize(
    ("samples", "alert"), [([*[DONE] * 40, *[FAILED] * 10], "ManyFailures"), ([*[DONE] * 40, *[LOST] * 4], "JobsLost")]
)
def test_what_nodes_count_fires(
    scheduler: Scheduler, scrape: Callable[[], Samples], tmp_path: Path, samples: list[Any], alert: str
) -> None:
    register(scheduler)
    before = dict.fromkeys(counted(*samples), 0.0)
    found = firing(tmp_path, {**scrape(), **before}, {**scrape(), **counted(*samples)})
    assert found == {f"Taskscheduler{alert}"}


def test_each_alert_has_a_test() -> None:
    here = Path(__file__).read_text()
    assert [alert for alert in ALERTS if alert.removeprefix("Taskscheduler") not in here] == []
    assert len(ALERTS) == 8
