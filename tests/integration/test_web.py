"""The web pages and the webservice on a real database: what they answer, refuse and escape."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import tests.support.jobs  # noqa: F401 - registers what may not be posted
from bson import ObjectId
from click.testing import CliRunner
from starlette.testclient import TestClient
from tests.support.hostile import VALUES, nested

from taskscheduler import Scheduler, Status
from taskscheduler.record import DEEPEST
from taskscheduler.store.inspect import Inspection
from taskscheduler_daemon.cli.group import cli
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.web import pages, tasks
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.guard import HEADERS, is_loopback

HOME = "http://localhost:8080"
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PROFILE = "Profile name only allows lowercase alphanumerical, dash and underscore characters"


def visit(scheduler: Scheduler, token: str | None = None, **more: Any) -> TestClient:
    """A client of an application in which the job `noop` may be posted."""
    return TestClient(
        create_app(scheduler, ["noop"], token, ["jobs.example"]), HOME, raise_server_exceptions=False, **more
    )


@pytest.fixture
def client(scheduler: Scheduler) -> Iterator[TestClient]:
    with visit(scheduler) as client:
        yield client


def ended(scheduler: Scheduler, status: Status, **fields: Any) -> ObjectId:
    """A job as it is stored at its end."""
    job_id = scheduler.add_job("noop").id
    literal = {name: {"$literal": value} for name, value in {"status": int(status), "attempt": 1, **fields}.items()}
    stored = scheduler.store.database[scheduler.options.job_store]
    stored.update_one({"_id": job_id}, [{"$set": {"ended": "$$NOW", "started": "$$NOW", **literal}}])
    return job_id


# -- the webservice ---------------------------------------------------------------------------------------------------


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


WRONG_TASKS: list[tuple[Any, str]] = [
    ({}, "Missing job"),
    ({"profile": "a"}, "Missing job"),
    ({"profile": "a", "job": ""}, "Missing job"),
    ({"job": "noop"}, "Missing profile"),
    ({"job": "noop", "profile": "No good"}, PROFILE),
    ({"job": "noop", "profile": "a\n"}, PROFILE),
    ({"job": "noop", "profile": "a", "parameters": "text"}, "Malformed parameters"),
    ({"job": "noop", "profile": "a", "parameters": [1]}, "Malformed parameters"),
    ({"job": "os.system", "profile": "a"}, 'Job "os.system" is not registered'),
    ({"job": "echo", "profile": "a"}, 'Job "echo" is not registered'),
    ({"job": "\ud800", "profile": "a"}, 'Job "\ud800" is not registered'),
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
    (b'{"job": "noop", "profile": "a", "parameters": {"x": 9223372036854775808}}', 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": "\\ud800"}}', 400),
    (b'{"job": "noop", "profile": "a", "parameters": {"x": "%s"}}' % (b"x" * 1_100_000), 400),
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


def test_a_list_has_an_end_in_jobs_and_in_bytes(scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", {"x": "y" * 100_000})] * 5)
    store = scheduler.store
    inspection = Inspection(store.database, store.options)
    assert len(inspection.newest({}, 3, tasks.MOST_BYTES)) == 3
    assert len(inspection.newest({}, 100, 150_000)) == 2


def test_values_that_json_lacks_are_answered_as_extended_json(client: TestClient, scheduler: Scheduler) -> None:
    for value in VALUES.values():
        job_id = scheduler.add_job("noop", value).id
        assert client.get(f"/task/{job_id}").status_code == 200
        assert client.get(f"/jobs/{job_id}").status_code == 200
    assert client.get("/tasks").status_code == 200
    assert client.get("/jobs").status_code == 200


def test_the_description_tells_what_is_answered(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/tasks", "/task/{identifier}"}
    answers = {
        (path, verb): set(operation["responses"])
        for path, verbs in described["paths"].items()
        for verb, operation in verbs.items()
    }
    assert answers == {
        ("/tasks", "get"): {"200", "400", "401", "403", "500"},
        ("/tasks", "post"): {"201", "400", "401", "403", "413", "500"},
        ("/task/{identifier}", "get"): {"200", "400", "401", "403", "404", "500"},
    }
    assert "HTTPValidationError" not in json.dumps(described)
    parameters = {one["name"]: one["schema"] for one in described["paths"]["/tasks"]["get"]["parameters"]}
    assert set(parameters["order"]["enum"]) == {"date", "profile", "status"}
    assert {"waiting", "running", "finished", "failed"} <= set(parameters["status"]["enum"])


def test_a_database_that_is_away_is_a_technical_error() -> None:
    gone = Scheduler("mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=50&replicaSet=rs0")
    with gone, visit(gone) as client:
        answer = client.get("/tasks")
        assert (answer.status_code, answer.json()) == (500, {"message": "Technical error", "code": 500})
        page = client.get("/")
        assert page.status_code == 500
        assert "Technical error" in page.text
        assert page.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


# -- who may come in --------------------------------------------------------------------------------------------------


HOSTS = [
    ("localhost:8080", True),
    ("127.0.0.1:8080", True),
    ("[::1]:8080", True),
    ("jobs.example", True),
    ("JOBS.example:80", True),
    ("evil.example", False),
    ("localhost.evil.example", False),
    ("127.0.0.1.evil.example", False),
    ("user@evil.example", False),
    ("[", False),
    ("", False),
]


def test_a_name_that_was_not_given_to_us_is_refused(client: TestClient) -> None:
    for host, known in HOSTS:
        assert client.get("/jobs", headers={"Host": host}).status_code == (200 if known else 400)


def test_with_a_token_nothing_is_answered_without_it(scheduler: Scheduler) -> None:
    basic = base64.b64encode(b"ana:s3cret:t\xc3\xb6").decode()
    wrong = base64.b64encode(b"s3cret:t\xc3\xb6:").decode()
    with visit(scheduler, "s3cret:tö") as client:
        for path in ("/", "/jobs", "/tasks", "/task/1", "/openapi.json", "/style.css", "/nowhere"):
            answer = client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic ")
        bad = ["Bearer", "Bearer x", "Bearer s3cret:t", f"Basic {wrong}", "Basic !", "Digest s3cret:tö"]
        for given in bad:
            assert client.get("/tasks", headers={b"Authorization": given.encode()}).status_code == 401
        for given in ("Bearer s3cret:t", "bearer  s3cret:t"):
            sent = {b"Authorization": (given + "ö").encode()}
            assert client.get("/tasks", headers=sent).status_code == 200
        assert client.get("/tasks", headers={"Authorization": f"Basic {basic}"}).status_code == 200


FOREIGN: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": HOME},
]


def test_the_page_of_another_site_can_add_nothing(client: TestClient, scheduler: Scheduler) -> None:
    body, own = '{"profile": "a", "job": "noop"}', {"Origin": HOME, "Sec-Fetch-Site": "same-origin"}
    for headers in FOREIGN:
        assert client.post("/tasks", content=body, headers=headers).status_code == 403
    assert list(scheduler.get_jobs({})) == []
    assert client.post("/tasks", content=body, headers=own).status_code == 201


PATHS = ["/", "/jobs", "/tasks", "/nowhere", "/task/1", "/jobs/1", "/style.css"]


def test_every_answer_tells_the_browser_to_run_nothing(client: TestClient) -> None:
    for path in PATHS:
        headers = client.get(path).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "unsafe" not in headers["content-security-policy"]


def test_other_hosts_are_served_only_with_a_token(uri: str) -> None:
    ran = CliRunner().invoke(cli, ["web", "--host", "0.0.0.0"], obj=Settings(uri=uri), env={"TASKSCHEDULER_URI": uri})
    assert ran.exit_code == 2
    assert "TASKSCHEDULER_WEB_TOKEN" in ran.output
    assert [
        host for host in ("localhost", "127.0.0.9", "::1", "0.0.0.0", "::", "10.0.0.1", "a.b") if is_loopback(host)
    ] == [
        "localhost",
        "127.0.0.9",
        "::1",
    ]


# -- pages ------------------------------------------------------------------------------------------------------------


def hostile(scheduler: Scheduler) -> ObjectId:
    """A failed job every text of which is markup, huge or binary."""
    error = {"type": SCRIPT, "message": SCRIPT * 200, "traceback": (SCRIPT + "\n") * 200, "signal": SCRIPT}
    data = {
        SCRIPT: SCRIPT,
        "long": "x" * 900_000,
        "binary": b"\x00\xff" * 50_000,
        "many": list(range(5000)),
        "esc": "\x1b[31m\u202e",
    }
    fields = {"error": error, "message": SCRIPT, "class": SCRIPT, "node": SCRIPT, "worker": SCRIPT, "progress": 40.0}
    return ended(scheduler, Status.FAILED, data=data, attempts=[{"attempt": 0, "status": 4, "error": error}], **fields)


def test_what_jobs_say_is_escaped_and_shortened(client: TestClient, scheduler: Scheduler) -> None:
    job_id = hostile(scheduler)
    nodes = scheduler.store.database["taskscheduler.nodes"]
    nodes.update_one(
        {"_id": ObjectId()}, [{"$set": {"name": SCRIPT, "pm": SCRIPT, "host": SCRIPT, "alive": "$$NOW"}}], upsert=True
    )
    paths = ["/", "/jobs", f"/jobs/{job_id}", *(f"/jobs/{job_id}/{name}" for name in ("retry", "delete", "cancel"))]
    for path in paths:
        text = client.get(path).text
        assert "<script" not in text
        assert "<img" not in text
        assert "\x1b" not in text
        assert len(text) < 60_000
    text = client.get(f"/jobs/{job_id}").text
    assert "&lt;script&gt;" in text
    assert "899000 more characters" in text
    assert "100000 bytes: 00 ff" in text
    for name in ("status", "job", "queue", "before", "said"):
        assert "<script" not in client.get("/jobs", params={name: SCRIPT}).text


def test_the_pages_need_neither_scripts_nor_styles_of_their_own(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    for path in ("/", "/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/cancel"):
        text = client.get(path).text
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", text)
        assert len(re.findall("<h1", text)) == 1
    assert client.get("/style.css").headers["content-type"].startswith("text/css")


def test_deep_data_are_shown(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop", nested(DEEPEST - 1)).id
    assert client.get(f"/jobs/{job_id}").status_code == 200
    assert client.get(f"/task/{job_id}").status_code == 200


def test_the_overview_has_counts_queues_and_nodes(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"queue": "mail"})] * 3)
    text = client.get("/").text
    assert re.search(r"<b>3</b> <span class=\"status waiting\">", text)
    assert "no node is up" in text
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "queues": ["mail"], "lease": 30})
    lost = ObjectId()
    scheduler.store.nodes.register(lost, {"name": "web-2"})
    scheduler.store.nodes.declare_lost(lost, 0)
    text = client.get("/").text
    assert re.search(r"web-1.*node-up.*web-2.*node-lost", text, re.DOTALL)
    assert "by a node that is up" in text
    assert "no node is up" not in text


def test_the_list_is_filtered_and_paged_without_a_gap(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 3)
    ids = [str(job.id) for job in scheduler.add_jobs([("noop", None, {"queue": "a b".replace(" ", "-")})] * 8)]
    scheduler.add_job("echo")
    seen: list[str] = []
    path = "/jobs?job=noop&status=live&queue=a-b"
    while path:
        text = client.get(path).text
        seen += re.findall(r'href="/jobs/([0-9a-f]{24})"', text)
        older = re.search(r'href="([^"]+)" rel="next"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == sorted(ids, reverse=True)
    assert "No such jobs" in client.get("/jobs?status=done").text
    assert client.get("/jobs?status=foo").status_code == 400
    assert client.get("/jobs?before=foo").status_code == 400


def test_one_job_shows_its_data_result_and_progress(client: TestClient, scheduler: Scheduler) -> None:
    job_id = ended(scheduler, Status.DONE, data={"to": "ana"}, result={"sent": 7}, progress=100.0, message="all sent")
    text = client.get(f"/jobs/{job_id}").text
    for expected in (
        "&#34;ana&#34;",
        "&#34;sent&#34;: 7",
        "all sent",
        '<progress max="100" value="100.0"',
        ">Attempt<",
    ):
        assert expected in text
    assert client.get("/jobs/5f0000000000000000000000").status_code == 404
    assert client.get("/jobs/foo").status_code == 404


def confirmed(client: TestClient, job_id: ObjectId, name: str) -> dict[str, str]:
    """The fields of the form that asks whether it is meant."""
    text = client.get(f"/jobs/{job_id}/{name}").text
    return dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', text))


def test_jobs_are_cancelled_retried_and_deleted_after_a_question(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    for name, status in (("cancel", Status.CANCELED), ("retry", Status.WAITING), ("delete", None)):
        answer = client.post(f"/jobs/{job_id}/{name}", data=confirmed(client, job_id, name), follow_redirects=False)
        assert answer.status_code == 303
        assert 'role="status"' in client.get(answer.headers["location"]).text
        left = [job.status for job in scheduler.get_jobs({"_id": job_id})]
        assert left == ([status] if status is not None else [])


def test_a_question_alone_changes_nothing(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    for name in ("cancel", "retry", "delete"):
        client.get(f"/jobs/{job_id}/{name}")
    assert scheduler.get_job(job_id).status is Status.WAITING
    assert client.get(f"/jobs/{job_id}/foo").status_code == 404


def test_a_form_of_another_page_is_refused(client: TestClient, scheduler: Scheduler) -> None:
    job_id, other = scheduler.add_job("noop").id, scheduler.add_job("noop").id
    path, good = f"/jobs/{job_id}/cancel", confirmed(client, job_id, "cancel")
    for fields in (
        {},
        {"csrf": ""},
        {"csrf": "é"},
        confirmed(client, other, "cancel"),
        confirmed(client, job_id, "delete"),
    ):
        assert client.post(path, data=fields).status_code == 403
    assert client.post(path, data=good, headers={"Origin": "http://evil.example"}).status_code == 403
    with visit(scheduler, cookies={"taskscheduler_csrf": "chosen-by-somebody"}) as stranger:
        assert stranger.post(path, data=good).status_code == 403
    with visit(scheduler) as without_cookie:
        assert without_cookie.post(path, data=good).status_code == 403
    assert client.post(path, content=b"csrf=" + b"x" * 20_000).status_code == 413
    assert scheduler.get_job(job_id).status is Status.WAITING
    assert client.post(path, data=good, follow_redirects=False).status_code == 303


def test_what_is_too_late_is_said(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    form = confirmed(client, job_id, "cancel")
    scheduler.cancel_job(job_id)
    assert client.post(f"/jobs/{job_id}/cancel", data=form).status_code == 409
