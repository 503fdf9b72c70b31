"""What the web process tells Prometheus and probes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bson import ObjectId
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from taskscheduler import Job, Scheduler
from taskscheduler_daemon.monitoring import cluster_gauges
from taskscheduler_daemon.monitoring.families import OF_A_PROCESS, OF_THE_CLUSTER
from taskscheduler_daemon.web.app import create_app


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape reads the database."""
    monkeypatch.setattr(cluster_gauges, "_FRESH", 0.0)


def scrape(client: TestClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        " ".join([sample.name.removeprefix("taskscheduler_"), *values(sample.labels)]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def values(labels: dict[str, str]) -> list[str]:
    """The values of labels in a fixed order, without empty ones."""
    return [labels[name] for name in sorted(labels, reverse=True) if labels[name]]


class Nightly(Job):
    """A job of a schedule."""

    name = "watching.nightly"

    def start(self) -> None:
        """Does nothing."""


def test_the_state_of_the_cluster(client: TestClient, scheduler: Scheduler) -> None:
    store = scheduler.store
    scheduler.limits.set("stripe", concurrency=0)
    scheduler.pause(queue="mail", reason="SMTP is down")
    ago = store.clock.now() - timedelta(seconds=90)
    scheduler.add_jobs([("noop", None, {"queue": "mail", "at": ago}), ("noop", None, {"limits": "stripe"})])
    scheduler.add_job("noop", at=timedelta(hours=1))
    found = scrape(client)
    assert (found["database_up"], found["jobs waiting mail"], found["jobs postponed"]) == (1, 1, 2)
    assert found["oldest_waiting_seconds mail"] >= 90
    assert (found["blocked_jobs no_node"], found["paused queue"], found["nodes up"]) == (2, 1, 0)
    store.nodes.register(ObjectId(), {"name": "web-1", "slots": 1})
    found = scrape(client)
    assert (found["blocked_jobs paused"], found["blocked_jobs limit"], found["blocked_jobs no_node"]) == (1, 1, 0)
    assert found["nodes up"] == 1
    assert 0 <= found["node_heartbeat_age_seconds web-1"] < 60
    assert found["schedule_lateness_seconds"] == 0


def test_a_schedule_whose_run_nobody_adds_is_late(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("nightly", Nightly, every=60)
    due = scheduler.store.clock.now() - timedelta(minutes=7)
    scheduler.store.schedules.collection.update_one({}, {"$set": {"due_at": due}})
    assert 420 <= scrape(client)["schedule_lateness_seconds"] < 600


def test_a_read_for_one_scrape_serves_those_that_come_soon(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_gauges, "_FRESH", 3600.0)
    before = scrape(client)
    scheduler.add_job("noop")
    assert scrape(client) == before


def test_every_family_is_told(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1"})
    scheduler.add_job("noop")
    told = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert told == {f"taskscheduler_{family.name}" for family in (*OF_THE_CLUSTER, *OF_A_PROCESS)}


def test_names_of_strangers_break_no_line(client: TestClient, scheduler: Scheduler) -> None:
    for name in ('a"} 1\ntaskscheduler_evil 1', "x" * 5000, "web-\\1"):
        scheduler.store.nodes.register(ObjectId(), {"name": name})
    found = scrape(client)
    assert {key for key in found if key.startswith(("node_heartbeat", "evil"))} == {
        "node_heartbeat_age_seconds other",
        "node_heartbeat_age_seconds web-\\1",
    }


def test_probes_need_no_token_and_tell_nothing(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    with TestClient(create_app(scheduler, token="secret"), base_url="http://10.0.0.7:8080") as client:
        assert [(client.get(path).status_code, client.get(path).text) for path in ("/livez", "/readyz")] == [
            (200, "ok\n")
        ] * 2
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200
        assert client.post("/livez").status_code in (401, 403, 405)
        monkeypatch.setattr("taskscheduler_daemon.web.http.probes.answers", lambda _: False)
        assert client.get("/livez").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the database does not answer\n")


def test_below_a_root_path_probes_are_found_as_well(scheduler: Scheduler) -> None:
    with TestClient(create_app(scheduler, root="/jobs"), base_url="http://localhost") as client:
        assert client.get("/jobs/livez").text == client.get("/livez").text == "ok\n"


def test_without_the_extra_the_answer_names_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler_daemon.monitoring.exposition.find_spec", lambda name: None)
    answer = client.get("/metrics")
    assert answer.status_code == 501
    assert "pip install 'mongo-taskscheduler[metrics]'" in answer.json()["message"]
