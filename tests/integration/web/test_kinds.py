"""Services, solo jobs and records of programs on the pages and in the webservice."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bson import ObjectId
from starlette.testclient import TestClient
from tests.integration.web.test_pages import SCRIPT, confirmed
from tests.support.web import without_own

from taskscheduler import Scheduler, Status
from taskscheduler.operations.programs import Record
from taskscheduler_daemon.web.pages.jobs import routes
from taskscheduler_daemon.web.pages.overview import routes as overview


def stored(scheduler: Scheduler, job_id: ObjectId, **fields: Any) -> None:
    """Change a job as a node would."""
    literal = {name: {"$literal": value} for name, value in fields.items()}
    scheduler.store.jobs.collection.update_one({"_id": job_id}, [{"$set": literal}])


@pytest.fixture
def record(scheduler: Scheduler) -> Record:
    return scheduler.track("nightly-import", rows=12).start()


def shown(client: TestClient, path: str) -> set[str]:
    return set(re.findall(r'href="/jobs/([0-9a-f]{24})"', client.get(path).text))


def test_each_kind_tells_what_it_is(client: TestClient, scheduler: Scheduler, record: Record) -> None:
    service = scheduler.start_service("noop", name="feed", restart="on-failure")
    running, parked = (scheduler.add_job("noop", solo="customer 7") for _ in range(2))
    for job_id, wanted in (
        (
            record.id,
            [f"pid {record.program['pid']} on " if record.program else "", "Last sign of life", "rows&#34;: 12"],
        ),
        (service.id, ["<dt>Service</dt><dd>feed</dd>", "on-failure, started 0 times", ">Stop…<"]),
        (running.id, ["<dt>Solo</dt><dd>customer 7</dd>"]),
        (
            parked.id,
            ["<dt>Solo</dt><dd>customer 7</dd>", "<dt>Now</dt><dd>waits for another job with the key customer 7</dd>"],
        ),
    ):
        text = client.get(f"/jobs/{job_id}").text
        assert [part for part in wanted if part not in text] == []
        assert "9999" not in text
    assert "<h2>Data" not in client.get(f"/jobs/{record.id}").text
    assert "force_spawn" not in client.get(f"/jobs/{service.id}").text
    listed = client.get("/jobs").text
    assert "service feed" in listed
    assert "waits for another job with the key customer 7" in listed
    assert not re.search("9999|due in", listed)


def test_the_list_can_show_one_kind_alone(
    client: TestClient, scheduler: Scheduler, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.add_job("noop")
    service, solo = scheduler.start_service("noop", name="feed"), scheduler.add_job("noop", solo=True)
    for kind, job in (("service", service), ("solo", solo), ("program", record)):
        assert shown(client, f"/jobs?kind={kind}") == {str(job.id)}
        assert shown(client, f"/jobs?kind={kind}&status=live") == {str(job.id)}
    assert shown(client, "/jobs?kind=program&status=processing") == {str(record.id)}
    assert shown(client, "/jobs?kind=service&status=done") == set()
    assert client.get("/jobs", params={"kind": SCRIPT}).status_code == 400
    assert "<script" not in without_own(client.get("/jobs", params={"kind": SCRIPT}).text)
    monkeypatch.setattr(routes, "PAGE", 2)
    monkeypatch.setattr(routes, "MOST_SEARCHED", 5)
    scheduler.add_jobs(["noop"] * 8)
    assert "5 jobs were searched" in client.get("/jobs?kind=program").text
    assert shown(client, "/jobs?kind=service") == {str(service.id)}, "they have an index"


def test_the_overview_shows_services_and_programs_where_there_are_any(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not re.search("<h2>(Services|Programs)", client.get("/").text)
    service, records = scheduler.start_service("noop", name="feed"), [scheduler.track("import") for _ in range(3)]
    for one in records:
        one.start()
    records[0].finish()
    assert shown(client, "/") == {str(service.id), *(str(one.id) for one in records[1:])}
    assert "All programs" not in client.get("/").text
    monkeypatch.setattr(overview, "SHOWN", 1)
    assert shown(client, "/") == {str(service.id), str(records[2].id)}
    assert '<a href="/jobs?kind=program&amp;status=processing">All programs that run' in client.get("/").text


def test_the_slots_of_a_node_are_those_that_are_taken(client: TestClient, scheduler: Scheduler) -> None:
    boot, facts = ObjectId(), {"name": "web-1", "lease": 30, "slots": 2, "busy": 0, "running": 0}
    scheduler.store.nodes.register(boot, facts)
    ids = [process.id for process in scheduler.add_jobs([("noop", number) for number in range(57)])]
    scheduler.store.claims.claim(ids, "claim", boot, "web-1")
    shared = {"$set": {"async": True, "worker": str(ObjectId())}}
    scheduler.store.jobs.collection.update_many({"_id": {"$in": ids}}, shared)
    assert "1 of 2 busy, 57 jobs in all" in client.get("/").text, "as it is now, not as the node said last"


def test_a_service_is_stopped_and_started(client: TestClient, scheduler: Scheduler) -> None:
    service = scheduler.start_service("noop", name="feed")
    for name, label, status in (("cancel", "Stop", Status.CANCELED), ("retry", "Start", Status.WAITING)):
        path = f"/jobs/{service.id}/{name}"
        asked = client.get(path).text
        assert f"{label} the service</button>" in asked
        assert "service feed" in asked
        answer = client.post(path, data=confirmed(client, service.id, name), follow_redirects=False)
        assert "The service " in client.get(answer.headers["location"]).text
        assert scheduler.service("feed").status is status


def test_the_record_of_a_program_is_never_tried_again(client: TestClient, scheduler: Scheduler, record: Record) -> None:
    form = confirmed(client, record.id, "cancel")
    record.fail("disk full")
    text = client.get(f"/jobs/{record.id}").text
    assert ">Delete…<" in text
    assert ">Retry…<" not in text
    for answer in (client.get(f"/jobs/{record.id}/retry"), client.post(f"/jobs/{record.id}/retry", data=form)):
        assert answer.status_code == 409
        assert "only that program" in answer.text
    assert scheduler.get_job(record.id).status is Status.FAILED


def test_whatever_they_say_is_escaped_and_shortened(client: TestClient, scheduler: Scheduler, record: Record) -> None:
    hostile = {SCRIPT: SCRIPT * 500, "\x1b[31m": "\u202e", "many": list(range(5000))}
    stored(
        scheduler, record.id, fields=hostile, program={"host": SCRIPT * 3000, "pid": SCRIPT}, solo=SCRIPT, tags=[SCRIPT]
    )
    service = scheduler.start_service("noop", name="feed")
    kept = {**service.to_dict()["service"], "name": SCRIPT * 3000, "restart": SCRIPT, "failures": SCRIPT}
    stored(scheduler, service.id, service=kept)
    odd = scheduler.track("odd").start()
    stored(scheduler, odd.id, program={"pid": [1]}, fields={"x": SCRIPT})
    for path in ("/", "/jobs", *(f"/jobs/{one.id}" for one in (record, service, odd)), f"/jobs/{service.id}/cancel"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert not re.search("<script|<img|\x1b|\u202e", without_own(answer.text))
        assert len(answer.text) < 60_000


def test_tasks_of_each_kind(client: TestClient, scheduler: Scheduler, record: Record) -> None:
    service = scheduler.start_service("noop", {"x": 1}, name="feed")
    parked = [scheduler.add_job("noop", solo=True) for _ in range(2)][1]
    told = {task["identifier"]: task for task in client.get("/tasks").json()}
    statuses = {name: told[str(job.id)]["status"] for name, job in (("s", service), ("p", parked), ("r", record))}
    assert statuses == {"s": "waiting", "p": "waiting", "r": "running"}
    assert (told[str(record.id)]["job"], told[str(record.id)]["parameters"]) == ("nightly-import", {})
    scheduler.stop_service("feed")
    assert client.get(f"/task/{service.id}").json()["status"] == "failed"
    assert client.get("/tasks?status=postponed").json() == [told[str(parked.id)]]
    fields = client.get("/openapi.json").json()["components"]["schemas"]["Task"]["properties"]
    assert "service" in fields["status"]["description"]
    assert "program" in fields["parameters"]["description"]


def test_a_job_tells_with_how_many_others_it_ran(client: TestClient, scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    assert "batched" not in client.get(f"/task/{process.id}").json()
    stored(scheduler, process.id, batched=3)
    assert "<dt>Batch</dt><dd>ran with 2 others</dd>" in client.get(f"/jobs/{process.id}").text
    assert client.get(f"/task/{process.id}").json()["batched"] == 3
