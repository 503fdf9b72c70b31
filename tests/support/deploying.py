"""What `daemon/deploy/` starts: the very arguments and variables of each unit and container, and its time to end."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskscheduler.model.filters.durations import parse_duration
from tests.support.pages import ROOT

DEPLOY = ROOT / "daemon" / "deploy"
UNITS = DEPLOY / "systemd"

#: what a unit calls the command, and the folder of its credentials
_COMMAND = "/srv/taskscheduler/.venv/bin/taskscheduler"


@dataclass(frozen=True)
class Started:
    """A process as a supervisor starts and stops it."""

    name: str
    arguments: list[str]  #: after `taskscheduler`
    environment: dict[str, str]
    grace: float  #: seconds from SIGTERM to SIGKILL

    def __str__(self) -> str:
        return self.name


def settings(unit: Path) -> dict[str, str]:
    """The settings of a unit by their names; the last one counts."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


def of_unit(unit: Path) -> Started:
    """What systemd runs for a unit, with the variables that its first lines name."""
    found = settings(unit)
    command, *arguments = shlex.split(found["ExecStart"])
    assert command == _COMMAND
    named = dict(re.findall(r"^#   (TASKSCHEDULER_\w+)=(.*)$", unit.read_text(), re.MULTILINE))
    return Started(unit.stem, arguments, named, float(found["TimeoutStopSec"]))


# -- containers --------------------------------------------------------------------------------------------------------

COMPOSE = DEPLOY / "compose" / "compose.yaml"
CHART = DEPLOY / "helm" / "taskscheduler"

_VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


def compose() -> dict[str, Any]:
    """The compose file, with the defaults of its variables."""
    text = _VARIABLE.sub(lambda found: str(found[2] or ""), COMPOSE.read_text())
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def of_compose(name: str) -> Started:
    """What compose runs for a service of ours."""
    service = compose()["services"][name]
    variables = {key: str(value) for key, value in service["environment"].items()}
    return Started(f"compose {name}", service["command"], variables, parse_duration(service["stop_grace_period"]))


def of_chart(manifests: Iterable[dict[str, Any]], component: str) -> Started:
    """What Kubernetes runs for a component, with what its Secrets hold."""
    documents = list(manifests)
    secrets = {one["metadata"]["name"]: one["stringData"] for one in documents if one["kind"] == "Secret"}
    pod = next(one for one in documents if one["kind"] == "Deployment" and one["metadata"]["name"].endswith(component))
    container, variables = container_of(pod), dict[str, str]()
    for one in container["env"]:
        source = one.get("valueFrom", {})
        if "secretKeyRef" in source:
            variables[one["name"]] = secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        else:
            variables[one["name"]] = one.get("value", "pod-1")
    grace = pod["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    return Started(f"chart {component}", container["args"], variables, float(grace))


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    """The only container of a workload."""
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifests that Helm makes of the chart with these values. Skips the test if Helm's library is missing."""
    helm = pytest.importorskip("helm_python", reason="Helm is not installed: pip install '.[test-deploy]'")
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="demo", namespace="prod")
    manifests = [text for name, text in texts.items() if name.endswith(".yaml")]
    return [one for text in manifests for one in yaml.safe_load_all(text) if one]
