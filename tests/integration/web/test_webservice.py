"""The webservice of JobQueue: what it answers, word for word, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from bson import ObjectId
from starlette.testclient import TestClient
from starlette.types import Message
from tests.support.calls import resize
from tests.support.hostile import VALUES
from tests.support.web import ended, visit

from taskscheduler import Scheduler, Status
from taskscheduler.store import job_lists
from taskscheduler.store.job_lists import JobLists
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http import bodies
from taskscheduler_daemon.web.http.access_control import HEADERS
from taskscheduler_daemon.web.jobqueue import tasks

PROFILE = "Profile name only allows lowercase alphanumerical, dash and underscore characters"

EMPTY_TAG = "option tags must be a list of texts of 1 to 100 characters; '' is none"
MANY_TAGS = "option tags must have 50 texts at most, not 51"


def test_a_task_is_added_and_found_again_as_it_was_posted(client: TestClient, scheduler: Scheduler) -> None:
    body = {"profile": "foobar", "job": "noop", "parameters": {"name_1": "value_1", "name_2": "value_2"}}
    answer = client.post("/tasks", json=body)
    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert {**task, **body, "status": "waiting"} == task
    assert list(task) == ["identifier", "status", "profile", "job", "date", "parameters"]
    assert client.get(f"/task/{task['identifier']}").json() == task
    assert client.get("/tasks").json() == [task]
    stored = scheduler.get_job(ObjectId(task["identifier"]))
    assert stored.options["queue"] == "foobar"
    assert stored.data == body["parameters"]
    assert parsedate_to_datetime(task["date"]) == (stored.created and stored.created.replace(microsecond=0))


def test_ended_tasks_of_a_profile_are_found_among_the_newest_of_all(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No index has them, and a search must not look at millions; live ones are found wherever they are."""
    rare = {"queue": "rare"}
    old_done, old_live, done, failed = scheduler.add_jobs([("noop", None, rare)] * 4)
    scheduler.add_jobs([("noop",)] * 2)
    stored = scheduler.store.jobs.collection
    stored.update_many({"_id": {"$in": [old_done.id, done.id]}}, {"$set": {"status": int(Status.DONE)}})
    stored.update_one({"_id": failed.id}, {"$set": {"status": int(Status.FAILED)}})

    def found(query: str) -> set[ObjectId]:
        return {ObjectId(task["identifier"]) for task in client.get(f"/tasks?{query}").json()}

    assert found("profile=rare") == {old_done.id, old_live.id, done.id, failed.id}
    monkeypatch.setattr(job_lists, "MOST_SEARCHED", 4)
    assert found("profile=rare") == {old_live.id, done.id, failed.id}
    assert found("profile=rare&status=finished") == {done.id}
    assert found("profile=rare&status=waiting") == {old_live.id}
    assert len(found("profile=default")) == 2
    assert len(found("")) == 6
    monkeypatch.setattr(job_lists, "MOST_SEARCHED", 6)
    assert len(found("profile=rare")) == 4


def test_parameters_that_the_job_does_not_take_are_refused(scheduler: Scheduler) -> None:
    with TestClient(create_app(scheduler, ["resize"], None, []), "http://localhost:8080") as client:
        answer = client.post("/tasks", json={"profile": "a", "job": "resize", "parameters": {"name": 5}})
    assert resize.__module__ == "tests.support.calls"
    assert (answer.status_code, answer.json()["message"]) == (400, "job resize: argument name must be str, not int")
    assert list(scheduler.get_jobs({})) == []


def test_tasks_are_found_by_any_of_their_tags(client: TestClient) -> None:
    posted = {}
    for name, tags in (("one", ["red", "old"]), ("two", ["blue", "red", "blue"]), ("none", None), ("empty", [])):
        body = {"profile": name, "job": "noop", "tags": tags}
        posted[name] = client.post("/tasks", json=body).json()
    assert [posted[name].get("tags") for name in posted] == [["red", "old"], ["blue", "red"], None, None]

    def found(query: str) -> set[str]:
        return {task["profile"] for task in client.get(f"/tasks?{query}").json()}

    assert found("tags=red") == {"one", "two"}
    assert found("tags=old&tags=blue") == {"one", "two"}
    assert found("tags[]=old&tags%5B%5D=green") == {"one"}
    assert found("tags=blue&profile=one") == set()
    assert found("tags=green") == set()
    assert client.get("/tasks?tags=").json() == {"message": EMPTY_TAG, "code": 400}
    answer = client.get("/tasks", params={"tags": ["red"] * 51})
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert answer.json()["message"].startswith("Malformed tags: ")


WRONG_TASKS: list[tuple[Any, str]] = [
    ({}, "Missing job"),
    ({"profile": "a"}, "Missing job"),
    ({"profile": "a", "job": ""}, "Missing job"),
    ({"job": "noop"}, "Missing profile"),
    ({"job": "noop", "profile": "No good"}, PROFILE),
    ({"job": "noop", "profile": "a\n"}, PROFILE),
    ({"job": "noop", "profile": "a", "parameters": "text"}, "Malformed parameters"),
    ({"job": "noop", "profile": "a", "parameters": [1]}, "Malformed parameters"),
    ({"job": "os.system", "profile": "a"}, 'Job "os.system" is not registered by the modules of --jobs'),
    ({"job": "echo", "profile": "a"}, 'Job "echo" is not registered by the modules of --jobs'),
    ({"job": "\ud800", "profile": "a"}, 'Job "\ud800" is not registered by the modules of --jobs'),
    ({"job": "noop", "profile": "a", "parameter": {}}, 'Unknown "parameter"; known are profile, job, parameters, tags'),
    ({"job": "noop", "profile": "a", "tags": "x"}, "Malformed tags"),
    ({"job": "noop", "profile": "a", "tags": ["x", 5]}, "Tag value must be a string"),
    ({"job": "noop", "profile": "a", "tags": [""]}, EMPTY_TAG),
    ({"job": "noop", "profile": "a", "tags": [str(number) for number in range(51)]}, MANY_TAGS),
]


def test_a_wrong_task_is_refused_and_nothing_is_stored(client: TestClient, scheduler: Scheduler) -> None:
    for body, message in WRONG_TASKS:
        answer = client.post("/tasks", content=json.dumps(body))
        assert (answer.status_code, answer.json()) == (400, {"message": message, "code": 400})
        assert list(scheduler.get_jobs({})) == []


WRONG_BODIES = [
    (b"", 400),
    (b"[]", 400),
    (b"\xff\xfe", 400),
    (b"[" * 100_000, 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": NaN}}', 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": 1e999}}', 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": 9223372036854775808}}', 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": "\\ud800"}}', 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": "%s"}}' % (b"x" * 1_100_000), 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"\\u0000": 1}}', 400),
    (b'{"x": "%s"}' % (b"x" * 7_000_000), 413),
]


def test_a_body_that_no_job_can_hold_is_refused(client: TestClient, scheduler: Scheduler) -> None:
    for body, code in WRONG_BODIES:
        answer = client.post("/tasks", content=body)
        assert (answer.status_code, answer.json()["code"]) == (code, code)
        assert list(scheduler.get_jobs({})) == []


def test_no_parameters_are_an_empty_mapping_also_as_php_writes_them(client: TestClient) -> None:
    cases: list[dict[str, Any]] = [{}, {"parameters": None}, {"parameters": []}, {"parameters": {}}]
    for given in cases:
        assert client.post("/tasks", json={"profile": "a", "job": "noop", **given}).json()["parameters"] == {}


def test_operators_in_parameters_stay_data(client: TestClient) -> None:
    parameters = {"$where": "true", "a": {"$date": "2026-11-21T08:00:00Z"}, "b": "$$NOW"}
    added = client.post("/tasks", json={"profile": "a", "job": "noop", "parameters": parameters}).json()
    assert client.get(f"/task/{added['identifier']}").json()["parameters"] == parameters


WRONG_FILTERS: list[tuple[dict[str, str], str]] = [
    ({"status": "foo"}, 'Status "foo" does not exists'),
    ({"profile": "Foo Bar"}, PROFILE),
    ({"order": "foobar"}, 'Impossible to order by "foobar"'),
    ({"status": ""}, 'Status "" does not exists'),
    ({"profile": ""}, PROFILE),
    ({"order": ""}, 'Impossible to order by ""'),
    ({"tag": "x"}, 'Unknown "tag"; known are where, slow, profile, status, order, tags, tags[]'),
]


def test_a_wrong_filter_is_named(client: TestClient) -> None:
    for query, message in WRONG_FILTERS:
        answer = client.get("/tasks", params=query)
        assert (answer.status_code, answer.json()) == (400, {"message": message, "code": 400})


UNKNOWN = ["5f0000000000000000000000", "foo", "47a5b21d-0a02-4e6e-b8c9-51dc1534cb68"]


def test_an_unknown_task_is_404(client: TestClient) -> None:
    for identifier in UNKNOWN:
        answer = client.get(f"/task/{identifier}")
        assert (answer.status_code, answer.json()["message"]) == (404, f"Task {identifier} does not exists")


def test_tasks_are_filtered_and_ordered(client: TestClient, scheduler: Scheduler) -> None:
    done, timeout = ended(scheduler, Status.DONE), ended(scheduler, Status.TIMEOUT)
    beta = scheduler.add_job("noop", queue="beta").id
    alpha = scheduler.add_job("noop", queue="alpha", at=4_000_000_000).id

    def found(**query: str) -> list[ObjectId]:
        return [ObjectId(task["identifier"]) for task in client.get("/tasks", params=query).json()]

    assert found() == [beta, alpha, done, timeout]
    assert found(order="date") == [done, timeout, beta, alpha]
    assert found(order="profile") == [alpha, beta, done, timeout]
    assert found(status="waiting") == [beta, alpha]
    assert found(status="postponed") == [alpha]
    assert found(status="running") == []
    assert found(status="finished") == found(status="done") == [done]
    assert found(status="failed") == [timeout]
    assert found(profile="beta") == [beta]
    assert [task["status"] for task in client.get("/tasks").json()] == ["waiting", "waiting", "finished", "failed"]


def test_a_list_has_an_end_in_jobs_and_in_bytes(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = scheduler.add_jobs([("noop", {"x": "y" * 100_000})] * 5)
    store = scheduler.store
    job_lists = JobLists(store.database, store.options)
    assert len(list(job_lists.newest([{}], 3))) == 3
    assert len(client.get("/tasks").json()) == 5
    monkeypatch.setattr(tasks, "MOST_BYTES", 150_000)
    answer = client.get("/tasks", params={"order": "date"})
    assert [task["identifier"] for task in answer.json()] == [str(process.id) for process in added[-2:]]
    assert len(answer.content) == int(answer.headers["content-length"])


def test_values_that_json_lacks_are_answered_as_extended_json(client: TestClient, scheduler: Scheduler) -> None:
    for value in VALUES.values():
        job_id = scheduler.add_job("noop", value).id
        assert client.get(f"/task/{job_id}").status_code == 200
        assert client.get(f"/jobs/{job_id}").status_code == 200
    assert client.get("/tasks").status_code == 200
    assert client.get("/jobs").status_code == 200


def test_the_description_tells_what_is_answered(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    answers = {
        (path, verb): set(operation["responses"])
        for path, verbs in described["paths"].items()
        for verb, operation in verbs.items()
        if path.startswith("/task")
    }
    assert answers == {
        ("/tasks", "get"): {"200", "400", "401", "403", "500"},
        ("/tasks", "post"): {"201", "400", "401", "403", "408", "413", "500"},
        ("/task/{identifier}", "get"): {"200", "400", "401", "403", "404", "500"},
    }
    assert "HTTPValidationError" not in json.dumps(described)
    parameters = {one["name"]: one["schema"] for one in described["paths"]["/tasks"]["get"]["parameters"]}
    assert set(parameters["order"]["enum"]) == {"date", "profile", "status"}
    assert {"waiting", "running", "finished", "failed"} <= set(parameters["status"]["enum"])
    body = described["paths"]["/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["job"]["enum"] == ["noop"]


def test_a_head_is_answered_like_a_get_without_its_body(client: TestClient) -> None:
    task = client.post("/tasks", json={"profile": "a", "job": "noop"}).json()
    for path in ("/tasks", f"/task/{task['identifier']}", "/task/foo", "/", "/jobs"):
        head, whole = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]


METHODS = {
    "/tasks": "GET, HEAD, POST",
    "/task/5f0000000000000000000000": "GET, HEAD",
    "/jobs": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
    "/jobs/5f0000000000000000000000/cancel": "GET, HEAD, POST",
}


def test_a_wrong_method_is_answered_with_the_right_ones(client: TestClient) -> None:
    for path, methods in METHODS.items():
        answer = client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_a_request_that_does_not_come_to_an_end_is_given_up(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_READ_TIMEOUT", 0.05)
    sent: list[Message] = []

    async def never() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": "/tasks", "query_string": b"", "headers": headers}
    asyncio.run(create_app(scheduler, ["noop"])(scope, never, send))
    assert sent[0]["status"] == 408
    assert list(scheduler.get_jobs({})) == []


@pytest.mark.parametrize("path", ["/tasks", "/jobs/5f0000000000000000000000/cancel"])
def test_a_visitor_who_leaves_in_the_middle_is_no_technical_error(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    asyncio.run(create_app(scheduler, ["noop"])(scope, receive, send))
    assert (sent[0]["status"], caplog.records) == (400, [])


def test_a_database_that_is_away_is_a_technical_error(caplog: pytest.LogCaptureFixture) -> None:
    gone = Scheduler("mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=50&replicaSet=rs0")
    with gone, visit(gone) as client:
        answer = client.get("/tasks")
        said = "Technical error: the database does not answer"
        assert (answer.status_code, answer.json()) == (500, {"message": said, "code": 500})
        page = client.get("/")
        assert page.status_code == 500
        assert said in page.text
        (_, record) = [record for record in caplog.records if record.getMessage() == "request failed"]
        assert "no MongoDB server could be reached" in vars(record)["reason"]
        assert record.exc_info is None  # the reason is enough
        assert page.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
