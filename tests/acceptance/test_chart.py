"""The chart: its values are checked, Helm renders it, Kubernetes knows every field, and KEDA's query finds its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
import yaml
from bson import ObjectId, json_util
from tests.support.deploying import CHART, container_of, of_chart, rendered
from tests.support.tables import table

from taskscheduler import Scheduler, Status
from taskscheduler.model.control.keys import FAR

VALUES: dict[str, Any] = {
    "image": {"repository": "registry/app"},
    "mongodb": {"uri": "mongodb://host/app"},
    "jobs": ["myapp.jobs"],
    "web": {"token": "secret"},
}

#: more of what it can do
MORE: dict[str, Any] = {
    **VALUES,
    "node": {"queues": ["mail", "images"], "podAnnotations": {"a": "b"}, "stopTimeout": 600, "tolerations": [{}]},
    "keda": {"enabled": True, "database": "app"},
    "web": {"existingSecret": "mine", "replicas": 2, "rootPath": "/jobs", "allowHosts": ["a.example", "b.example"]},
    "imagePullSecrets": [{"name": "registry"}],
}


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """What Helm makes of the values of a chart and those that somebody gives."""
    both = {name: merged(base[name], over[name]) for name in base.keys() & over if isinstance(over[name], dict)}
    return {**base, **over, **both}


def faults(values: dict[str, Any]) -> list[str]:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    return [one.message for one in jsonschema_rs.iter_errors(schema, merged(defaults, values))]


def test_the_schema_takes_what_is_right() -> None:
    assert faults(VALUES) == faults(MORE) == []


@table(
    "values",
    [
        {},
        {"jobs": ["my-app"]},
        {"jobs": ["a; rm"]},
        {"nodes": {}},
        {"node": {"replicas": -1}},
        {"node": {"queues": ["a b"]}},
        {"node": {"stopTimeout": "1m"}},
        {"mongodb": {"uri": "host/app"}},
        {"mongodb": {"uri": "mongodb://host"}},
        {"web": {"port": 80}},
        {"web": {"rootPath": "jobs"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"podDisruptionBudget": {"maxUnavailable": "half"}},
    ],
)
def test_the_schema_refuses_what_is_wrong(values: dict[str, Any]) -> None:
    assert faults(merged(VALUES, values) if values else {}) != []


def test_every_value_is_used_in_a_template() -> None:
    templates = "".join(one.read_text() for one in (CHART / "templates").iterdir())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = [f".{group}.{name}" for group, inner in values.items() if isinstance(inner, dict) for name in inner]
    assert [name for name in named if f".Values{name}" not in templates] == []
    assert len((CHART / "values.yaml").read_text().splitlines()) < 100


# -- with Helm ---------------------------------------------------------------------------------------------------------


def kinds(manifests: list[dict[str, Any]]) -> list[str]:
    return sorted(one["kind"] for one in manifests)


def workloads(manifests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from (one for one in manifests if one["kind"] == "Deployment")


@pytest.mark.scale
def test_helm_finds_nothing_wrong_and_renders_what_is_asked_for() -> None:
    helm = pytest.importorskip("helm_python", reason="Helm is not installed: pip install '.[test-deploy]'")
    found = helm.lint(str(CHART), VALUES)
    assert found["errors"] == []
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]
    plain = ["Deployment", "Deployment", "PodDisruptionBudget", "Secret", "Secret", "Service"]
    assert kinds(rendered(VALUES)) == plain
    assert kinds(rendered({**VALUES, "web": {"enabled": False}})) == ["Deployment", "PodDisruptionBudget", "Secret"]
    more = ["Deployment", "Deployment", *["PodDisruptionBudget"] * 2, "ScaledObject", "Secret", "Service"]
    assert kinds(rendered(MORE)) == more


@pytest.mark.scale
@pytest.mark.parametrize("missing", ["image", "mongodb", "web"])
def test_helm_says_what_is_missing(missing: str) -> None:
    helm = pytest.importorskip("helm_python", reason="Helm is not installed: pip install '.[test-deploy]'")
    values = {name: value for name, value in VALUES.items() if name != missing}
    with pytest.raises(helm.HelmError, match=f"{missing}\\."):
        rendered(values)


@pytest.mark.scale
@pytest.mark.parametrize("version", ["1.27", "1.31", "1.34"])
def test_kubernetes_knows_every_field(version: str) -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="the schemas are not installed: pip install '.[test-deploy]'"
    )
    for values in (VALUES, MORE):
        known = [one for one in rendered(values) if one["kind"] != "ScaledObject"]
        assert known
        for manifest in known:
            kubernetes.validate(manifest, version, strict=True)
    pod = next(workloads(rendered(VALUES)))
    pod["spec"]["template"]["spec"]["containers"][0]["comand"] = []
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(pod, version, strict=True)


@pytest.mark.scale
def test_pods_are_confined_and_probed_and_have_the_time_that_they_need() -> None:
    for values in (VALUES, MORE):
        manifests = rendered(values)
        for workload in workloads(manifests):
            pod, container = workload["spec"]["template"]["spec"], container_of(workload)
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            named = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["path"] in ("/livez", "/readyz")
                assert container[probe]["httpGet"]["port"] in named
            selected = workload["spec"]["selector"]["matchLabels"]
            assert selected.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
        node = of_chart(manifests, "node")
        stop = float(node.environment["TASKSCHEDULER_STOP_TIMEOUT"])
        assert node.grace >= stop + float(node.environment["TASKSCHEDULER_ORPHANED_TIMEOUT"]) + 10


def query_of(values: dict[str, Any]) -> dict[str, Any]:
    """The query that KEDA counts with, read as extended JSON in its canonical form."""
    (scaled,) = (one for one in rendered(values) if one["kind"] == "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "mongodb"
    found: dict[str, Any] = json_util.loads(trigger["metadata"]["query"])
    return found


@pytest.mark.scale
def test_keda_counts_the_jobs_that_need_a_node(scheduler: Scheduler) -> None:
    """Those that are due and those that run, and none that waits for its time, is blocked or has ended; by indexes."""
    jobs = scheduler.database[scheduler.options.job_store]
    now = datetime.now(UTC)

    def job(queue: str, **fields: Any) -> None:
        process = scheduler.add_job("noop", queue=queue)
        jobs.update_one({"_id": process.id}, {"$set": fields} if fields else {"$unset": {"nothing": ""}})

    for queue in ("mail", "images", "other"):
        job(queue)
        job(queue, status=Status.POSTPONED, at=now - timedelta(minutes=1))
        job(queue, status=Status.PROCESSING, boot=ObjectId(), claim=ObjectId())
        job(queue, status=Status.POSTPONED, at=now + timedelta(hours=1))
        job(queue, status=Status.POSTPONED, at=FAR, parked_at=now, blocked="limit:one")
        job(queue, status=Status.DONE)
    assert jobs.count_documents(query_of({**MORE, "node": {}})) == 9
    assert jobs.count_documents(query_of(MORE)) == 6
    for values in (MORE, {**MORE, "node": {}}):
        plan = json.dumps(jobs.find(query_of(values)).explain()["queryPlanner"]["winningPlan"], default=str)
        assert "COLLSCAN" not in plan
        assert all(name in plan for name in ('"claim"', '"due"', '"held"')), plan
