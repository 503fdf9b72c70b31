"""A node tells Prometheus and probes about itself and the cluster, through everything that happens to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import InvalidOptionError, Scheduler
from taskscheduler_daemon import QueueNode
from taskscheduler_daemon.monitoring.families import FAMILIES

COMMAND = Path(sys.executable).with_name("taskscheduler")
StartNode = Callable[..., NodeProcess]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def port_of(node: NodeProcess) -> int:
    found = re.search(r"metrics are served on http://127\.0\.0\.1:(\d+)/metrics", node.log.read_text())
    assert found is not None
    return int(found[1])


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(port: int) -> Samples:
    code, text = get(port, "/metrics")
    assert code == 200
    return samples(text)


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((f"taskscheduler_{name}", tuple(sorted(labels.items()))))


def test_a_node_tells_what_it_has_run_and_how_the_cluster_is(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(metrics_port=0, name="web-1")
    port = port_of(node)
    scheduler.wait_for([*scheduler.add_jobs(["noop"] * 5), scheduler.add_job("fail", retry=1, retry_interval=0)])
    lost = scheduler.add_job("os_exit")
    scheduler.wait_for([lost])
    assert get(port, "/livez") == (200, "ok\n")
    assert eventually(lambda: get(port, "/readyz") == (200, "ok\n"), 30)
    found = scrape(port)
    assert value(found, "jobs_finished_total", job="noop", queue="default", status="done") == 5
    assert value(found, "jobs_finished_total", job="fail", queue="default", status="failed") == 1
    assert value(found, "job_retries_total", job="fail", queue="default") == 1
    assert value(found, "jobs_lost_total", cause="worker") == 3
    assert value(found, "jobs_lost_total", cause="node") == 0
    assert value(found, "job_wait_seconds_count", job="noop", queue="default") == 5
    assert value(found, "job_duration_seconds_bucket", job="noop", queue="default", le="+Inf") == 5
    assert value(found, "workers_max", node="web-1") == 2
    spawned = value(found, "worker_spawns_total", node="web-1")
    assert spawned is not None
    assert spawned >= 3
    assert value(found, "worker_exits_total", node="web-1", reason="code") == 3
    assert value(found, "database_up") == 1
    assert value(found, "nodes", state="up") == 1
    assert value(found, "blocked_jobs", reason="no_node") == 0
    assert value(found, "schedule_lateness_seconds") == 0
    assert value(found, "paused", scope="queue") == 0
    documented = {name: set(family.labels) for name, family in FAMILIES.items()}
    text = get(port, "/metrics")[1]
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == documented[family.name.removeprefix("taskscheduler_")], sample
    openmetrics = get(port, "/metrics", Accept="application/openmetrics-text")[1]
    assert "# TYPE taskscheduler_jobs_finished counter" in openmetrics
    assert openmetrics.endswith("# EOF\n")
    assert get(port, "/")[0] == get(port, "/metrics/x")[0] == 404


def test_it_answers_through_the_death_of_the_manager_and_counts_on(scheduler: Scheduler, start_node: StartNode) -> None:
    """A client that sends nothing keeps a thread; none may be left when the next manager is forked."""
    node = start_node(metrics_port=0)
    port = port_of(node)
    scheduler.wait_for([scheduler.add_job("noop")])
    with socket.create_connection(("127.0.0.1", port)):
        before = node.manager
        os.kill(before, signal.SIGKILL)
        eventually(lambda: node.manager != before, 30, "another manager")
        eventually(lambda: get(port, "/readyz") == (200, "ok\n"), 30, "ready")
    scheduler.wait_for([scheduler.add_job("noop")])
    eventually(
        lambda: value(scrape(port), "jobs_finished_total", job="noop", queue="default", status="done") == 2, 30, "both"
    )
    assert node.process.poll() is None


def test_a_node_without_its_manager_is_alive_and_not_ready(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(metrics_port=0, orphaned_timeout=3)
    port = port_of(node)
    eventually(lambda: get(port, "/readyz")[0] == 200, 30)
    os.kill(node.manager, signal.SIGSTOP)
    _, text = eventually(lambda: (found := get(port, "/readyz"))[0] == 503 and found, 30)
    assert "manager" in text
    assert get(port, "/livez")[0] == 200


def test_a_node_whose_main_loop_stands_still_is_not_alive(start_node: StartNode) -> None:
    prelude = (
        "import time; from taskscheduler_daemon.node import exporter, session; exporter._TURNS_WITHIN = 0.5;"
        "step = session.Session._step\n"
        "def stands(self, signaled):\n"
        "    if self._parts.capacity.slots:\n"
        "        time.sleep(3600)\n"
        "    step(self, signaled)\n"
        "session.Session._step = stands"
    )
    port = port_of(start_node(metrics_port=0, prelude=prelude))
    _, text = eventually(lambda: (found := get(port, "/livez"))[0] == 503 and found, 30)
    assert text == "the main loop has not turned for 0.5 s\n"


def test_a_busy_port_is_said_at_once(uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [COMMAND, "node", "--uri", uri, "--metrics-port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout, done.stderr.count("Traceback")) == (2, "", 0)
    assert f"option metrics_port: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "give another --metrics-port or --metrics-host" in done.stderr


def test_without_the_extra_the_option_names_it(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler_daemon.monitoring.exposition.find_spec", lambda name: None)
    cure = r"metrics_port needs prometheus-client, .* pip install 'mongo-taskscheduler\[metrics\]'"
    with pytest.raises(InvalidOptionError, match=cure):
        QueueNode(scheduler, metrics_port=9464)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"metrics_port": 70_000}, "metrics_port must be between 0 and 65535"),
        ({"metrics_port": "x"}, "metrics_port must be an integer"),
        ({"metrics_host": ""}, "metrics_host must be an address"),
        ({"metrics_host": 5}, "metrics_host must be an address"),
    ],
)
def test_bad_options(scheduler: Scheduler, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOptionError, match=text):
        QueueNode(scheduler, **options)


def test_a_node_without_metrics_loads_nothing_for_them(start_node: StartNode) -> None:
    node = start_node(prelude="import sys, atexit; atexit.register(lambda: print('LOADED', sorted(sys.modules)))")
    assert node.stop() == 0
    loaded = node.log.read_text().partition("LOADED")[2]
    assert "taskscheduler_daemon.node.session" in loaded
    assert not re.search("http.server|prometheus_client|opentelemetry", loaded)
