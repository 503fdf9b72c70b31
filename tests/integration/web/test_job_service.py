"""The web service of jobs: pages, filters, one job, adding with and without a key, and what can be done to jobs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.support.tables import table
from tests.support.web import ended

from taskscheduler import Scheduler, Status
from taskscheduler.model.options import JOB_CHECKS
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.api.job_forms import AddedJob, JobDetails, JobRecord, Options

JOBS = "/api/v1/jobs"


def problem(answer: Any) -> dict[str, Any]:
    """The problem in an answer."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "detail"} <= set(body)
    return body


def ids_of(client: TestClient, address: str) -> Iterator[list[str]]:
    """The ids of each page."""
    following: str | None = address
    while following is not None:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        yield [job["id"] for job in found["jobs"]]
        following = found["next"]
        assert (following is None) == ("link" not in answer.headers)


def test_pages_have_every_job_once_from_the_newest(client: TestClient, scheduler: Scheduler) -> None:
    jobs = scheduler.add_jobs([("noop", {"n": n}, {"queue": "mail" if n % 2 else "files"}) for n in range(9)])
    expected = [str(job.id) for job in reversed(jobs)]
    pages = list(ids_of(client, f"{JOBS}?limit=4"))
    assert [len(page) for page in pages] == [4, 4, 1]
    assert [one for page in pages for one in page] == expected
    mail = list(ids_of(client, f"{JOBS}?limit=3&q=queue:mail%20status:waiting"))
    assert [one for page in mail for one in page] == [
        str(job.id) for job in reversed(jobs) if job.options["queue"] == "mail"
    ]


def test_a_filter_is_that_of_the_command_line(client: TestClient, scheduler: Scheduler) -> None:
    job = scheduler.add_job("noop", {"user": {"id": 42}}, tags=["nightly"])
    scheduler.add_job("noop", {"user": {"id": 7}})
    for q in ("data.user.id:42", "tag:nightly", f"id:{job.id}", "class:noop tag:nightly created:>-2h"):
        assert list(ids_of(client, f"{JOBS}?q={q}")) == [[str(job.id)]], q
        assert client.get(JOBS + "/count", params={"q": q}).json() == {"count": 1, "is_complete": True}
    assert client.get(JOBS, params={"q": "tag:nightly", "fields": "status,tags"}).json()["jobs"] == [
        {"id": str(job.id), "status": "waiting", "tags": ["nightly"]}
    ]


@table(
    ("path", "code", "text"),
    [
        ("?lim=3", 400, "did you mean limit?"),
        ("?limit=0", 400, "limit"),
        ("?limit=1&limit=2", 400, "more than once"),
        ("?q=statsu:failed", 400, "did you mean status?"),
        ("?cursor=x", 400, "cursor"),
        ("?fields=id,stats", 400, "did you mean status?"),
        ("/nobody", 404, "nobody"),
        ("/nobody/attempts", 404, "nobody"),
        ("/nobody/wait", 404, "nobody"),
        ("/6a5f01c2e26cf26c6d0ede69/wait?timeout=61", 400, "timeout"),
        ("/6a5f01c2e26cf26c6d0ede69/nothing", 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_a_problem_that_names_it(client: TestClient, path: str, code: int, text: str) -> None:
    answer = client.get(JOBS + path)
    assert answer.status_code == code
    assert text in problem(answer)["detail"]


def test_other_methods_bodies_and_sizes_are_problems_too(client: TestClient, scheduler: Scheduler) -> None:
    answer = client.put(JOBS)
    assert (answer.status_code, problem(answer)["title"]) == (405, "Method Not Allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert problem(client.post(JOBS, data={"job": "noop"}))["status"] == 415
    assert problem(client.post(JOBS, content="{", headers={"content-type": "application/json"}))["status"] == 400
    large = {"job": "noop", "data": "x" * (7 * scheduler.options.max_payload)}
    assert problem(client.post(JOBS, json=large))["status"] == 413
    large["data"] = "x" * (scheduler.options.max_payload + 1)
    assert problem(client.post(JOBS, json=large))["type"] == "urn:taskscheduler:problem:payload-too-large"


# -- one job ----------------------------------------------------------------------------------------------------------


def test_a_job_is_told_with_dates_in_iso_and_durations_in_seconds(client: TestClient, scheduler: Scheduler) -> None:
    added = client.post(JOBS, json={"job": "noop", "data": {"at": {"$date": "2027-06-01T00:00:00Z"}}, "retry": 3})
    assert added.status_code == 201, added.text
    address = added.headers["location"]
    assert AddedJob.model_validate(added.json()).outcome == "created"
    with InlineNode(scheduler) as node:
        node.run_due()
    job = client.get(address).json()
    assert JobDetails.model_validate(job).status == "done"
    assert job["ended"].endswith("Z")
    assert job["run_seconds"] >= 0
    assert job["data"] == {"at": {"$date": "2027-06-01T00:00:00Z"}}
    assert job["options"]["retry"] == 3
    attempts = client.get(address + "/attempts").json()
    assert attempts == job["attempts"]
    assert [one["status"] for one in attempts] == ["done"]
    assert client.get(address + "/result").json() == {"id": job["id"], "status": "done", "result": None, "error": None}
    assert {"done", "processing"} >= {one["status"] for one in client.get(address + "/history").json()}


def test_all_options_of_a_job_can_be_given() -> None:
    assert set(Options.model_fields) == set(JOB_CHECKS)


@table(
    ("body", "text"),
    [
        ({"job": "nobody"}, "is not registered"),
        ({}, "job"),
        ({"job": "noop", "retri": 3}, "did you mean retry?"),
        ({"job": "noop", "retry": "3"}, "retry"),
        ({"job": "noop", "retry": -2}, "retry"),
        ({"job": "noop", "at": "tomorrow"}, "option at must be a date"),
        ({"job": "noop", "at": "2027-06-01T00:00:00"}, "at"),
        ({"job": "noop", "queue": "A B"}, "queue"),
        ({"job": "noop", "id": "x"}, "id"),
        ({"job": "noop", "data": {"$oid": "x"}}, "extended JSON"),
    ],
)
def test_a_wrong_job_is_refused_by_name(client: TestClient, scheduler: Scheduler, body: Any, text: str) -> None:
    answer = client.post(JOBS, json=body)
    assert answer.status_code == 400
    assert text in problem(answer)["detail"]
    assert not scheduler.store.jobs.collection.count_documents({})


def test_an_id_that_is_taken_and_a_job_that_is_there(client: TestClient) -> None:
    chosen = str(ObjectId())
    assert client.post(JOBS, json={"job": "noop", "id": chosen}).json()["id"] == chosen
    assert problem(client.post(JOBS, json={"job": "noop", "id": chosen}))["type"].endswith(":duplicate-job")
    once = {"job": "noop", "data": {"n": 1}, "once": True}
    first, second = client.post(JOBS, json=once).json(), client.post(JOBS, json=once).json()
    assert (second["id"], second["outcome"]) == (first["id"], "existing")


# -- keys -------------------------------------------------------------------------------------------------------------


def test_the_same_request_with_the_same_key_adds_one_job(client: TestClient, scheduler: Scheduler) -> None:
    body, key = {"job": "noop", "data": {"order": 42}}, {"Idempotency-Key": "order-42"}
    first = client.post(JOBS, json=body, headers=key)
    scheduler.delete_job(first.json()["id"])
    second = client.post(JOBS, json=body, headers=key)
    assert (second.status_code, second.json()) == (201, first.json()), "even when the job is gone"
    assert ("idempotency-replayed" in first.headers, second.headers["idempotency-replayed"]) == (False, "true")
    other = client.post(JOBS, json={"job": "noop"}, headers=key)
    assert (other.status_code, problem(other)["type"]) == (422, "urn:taskscheduler:problem:idempotency-key-reused")
    assert not scheduler.store.jobs.collection.count_documents({})
    scheduler.store.requests.bring_forward(timedelta(days=1))
    third = client.post(JOBS, json=body, headers=key)
    assert third.json()["id"] != first.json()["id"], "a day is over"


def test_a_refused_request_leaves_its_key_free(client: TestClient, scheduler: Scheduler) -> None:
    key = {"Idempotency-Key": "a"}
    taken = scheduler.add_job("noop").id
    assert client.post(JOBS, json={"job": "noop", "id": str(taken)}, headers=key).status_code == 409
    assert client.post(JOBS, json={"job": "noop"}, headers=key).status_code == 201


def test_of_requests_at_once_one_adds_the_job(client: TestClient, scheduler: Scheduler) -> None:
    def post(n: int) -> Any:
        return client.post(JOBS, json={"job": "noop"}, headers={"Idempotency-Key": "twice"}).json()["id"]

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(post, range(12)))) == 1
    assert scheduler.store.jobs.collection.count_documents({}) == 1


def test_a_crash_before_the_end_leaves_neither_key_nor_job(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("between the job and its answer")

    with monkeypatch.context() as patch:
        patch.setattr("taskscheduler_daemon.web.api.jobs.job_record", crash)
        assert client.post(JOBS, json={"job": "noop"}, headers={"Idempotency-Key": "a"}).status_code == 500
    assert not scheduler.store.jobs.collection.count_documents({})
    assert client.post(JOBS, json={"job": "noop"}, headers={"Idempotency-Key": "a"}).status_code == 201
    assert scheduler.store.jobs.collection.count_documents({}) == 1


# -- what can be done -------------------------------------------------------------------------------------------------


def test_what_can_be_done_to_a_job(client: TestClient, scheduler: Scheduler) -> None:
    job_id = client.post(JOBS, json={"job": "noop", "at": 4_102_444_800}).json()["id"]
    address = f"{JOBS}/{job_id}"
    changed = client.patch(address, json={"priority": 5, "tags": ["a"], "data": {"n": 1}})
    assert (changed.json()["priority"], changed.json()["tags"]) == (5, ["a"])
    assert client.post(address + "/run-now").json()["status"] == "waiting"
    cancelled = client.post(address + "/cancel", json={"reason": "not needed"})
    assert (cancelled.json()["status"], cancelled.json()["reason"]) == ("canceled", "not needed")
    assert problem(client.post(address + "/run-now"))["type"].endswith(":invalid-state")
    assert problem(client.post(address + "/signal", json={"name": "approved"}))["status"] == 409
    assert client.post(address + "/retry", json={"reason": "it is", "priority": 7}).json()["priority"] == 7
    assert client.post(address + "/signal", json={"name": "approved", "value": 3}).json() == {
        "name": "approved", "value": 3, "won": True, "timed_out": False,
    }  # fmt: skip
    assert JobRecord.model_validate(client.post(address + "/cancel").json()).status == "canceled"
    assert (client.delete(address).status_code, client.delete(address).status_code) == (204, 404)


def test_what_can_be_done_to_many_jobs(client: TestClient, scheduler: Scheduler) -> None:
    failed = [ended(scheduler, Status.FAILED) for _ in range(3)]
    q = {"q": "status:failed"}
    assert client.post(JOBS + ":retry", json={**q, "dry_run": True}).json()["count"] == 3
    refused = client.post(JOBS + ":retry", json={**q, "expected": 2})
    assert (refused.status_code, problem(refused)["total"]) == (412, 3)
    assert scheduler.get_job(failed[0]).status is Status.FAILED
    done = client.post(JOBS + ":retry", json={**q, "expected": 3, "spread": 60, "reason": "SMTP is back"}).json()
    assert (done["count"], done["skipped"], done["is_complete"]) == (3, 0, True)
    assert client.post(JOBS + ":cancel", json={"ids": [str(one) for one in failed], "limit": 2}).json()["count"] == 2
    assert client.post(JOBS + ":delete", json={"everything": True}).json()["count"] == 3
    assert problem(client.post(JOBS + ":delete", json={}))["status"] == 400
    assert problem(client.post(JOBS + ":delete", json={"q": "class:noop"}))["detail"].startswith("no index serves")


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_for_a_job(client: TestClient, scheduler: Scheduler) -> None:
    job = scheduler.add_job("noop")
    answer = client.get(f"{JOBS}/{job.id}/wait?timeout=0")
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"{JOBS}/{job.id}/wait?timeout=60")
        with InlineNode(scheduler) as node:
            node.run_due()
        answer = waiting.result(100)
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert client.get(f"{JOBS}/{job.id}/wait").status_code == 200


def test_too_many_who_wait_are_sent_away(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler_daemon.web.live.feed.MOST_SUBSCRIBERS", 0)
    answer = client.get(f"{JOBS}/{scheduler.add_job('noop').id}/wait")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert problem(answer)["type"].endswith(":too-many-waiters")


# -- the cluster ------------------------------------------------------------------------------------------------------

CLUSTER = ("status", "counts", "queues", "nodes", "failures", "pauses", "services")


@pytest.mark.parametrize("name", CLUSTER)
def test_the_cluster_is_told_as_described(client: TestClient, scheduler: Scheduler, name: str) -> None:
    scheduler.add_job("noop", queue="mail")
    ended(scheduler, Status.FAILED, fingerprint="f", error={"type": "OSError", "message": "no"})
    with InlineNode(scheduler):
        scheduler.pause(queue="mail", reason="a test")
        answer = client.get(f"/api/v1/{name}")
    assert answer.status_code == 200, answer.text
    schema = client.get("/openapi.json").json()["paths"][f"/api/v1/{name}"]["get"]["responses"]["200"]
    assert schema["content"]["application/json"]["schema"]
    route = next(route for route in _routes() if route.path == f"/api/v1/{name}" and "GET" in route.methods)
    TypeAdapter(route.response_model).validate_python(answer.json())


def _routes() -> list[Any]:
    from taskscheduler_daemon.web.api import cluster  # noqa: PLC0415 - only this test looks at its routes

    return list(cluster.router.routes)


def test_pauses(client: TestClient, scheduler: Scheduler) -> None:
    made = client.post("/api/v1/pauses", json={"queue": "mail", "reason": "SMTP is down", "until": 3600})
    assert (made.status_code, made.json()["kind"], made.json()["reason"]) == (201, "queue", "SMTP is down")
    assert client.get("/api/v1/pauses").json() == [made.json()]
    assert client.delete("/api/v1/pauses?queue=mail").status_code == 204
    assert problem(client.delete("/api/v1/pauses?queue=mail"))["status"] == 404
    assert problem(client.post("/api/v1/pauses", json={"queue": "a", "tag": "b"}))["status"] == 400
    assert problem(client.delete("/api/v1/pauses?queu=mail"))["detail"].endswith("did you mean queue?")
