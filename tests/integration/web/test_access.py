"""Users with roles: whatever a viewer sends to whichever route, nothing changes, and the attempt is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from starlette.testclient import TestClient
from tests.support.access import PASSWORD, by_token, csrf_in, guarded, log_in
from tests.support.changing import Things, application, writing_routes

from taskscheduler import Scheduler
from taskscheduler.clock import SystemClock
from taskscheduler.model.audit import refusals
from taskscheduler.model.control.pauses import Pause
from taskscheduler_daemon.web import UserAccess
from taskscheduler_daemon.web.http import access_control
from taskscheduler_daemon.web.http.context import WebContext
from taskscheduler_daemon.web.http.csrf import COOKIE, FIELD

ROOTS = ["", "/ops/jobs"]

SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(scheduler: Scheduler, tmp_path: Path) -> Iterator[TestClient]:
    with guarded(scheduler, tmp_path) as client:
        yield client


@pytest.fixture
def every_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "EACH", 10_000)
    monkeypatch.setattr(refusals, "ALL", 10_000)


@pytest.mark.usefixtures("every_refusal")
def test_a_viewer_changes_nothing_by_any_route(client: TestClient, scheduler: Scheduler) -> None:
    things, routes = Things(scheduler), writing_routes(application(client))
    assert {("POST", "/tasks"), ("POST", "/jobs/{identifier}/{name}"), ("DELETE", "/api/v1/limits/{name}")} <= routes
    assert len(routes) > 20
    before = things.stored()
    assert log_in(client, "vera") == 303
    wanted = sorted(routes - {("POST", "/login"), ("POST", "/logout")})
    for method, path in wanted:
        for headers in (SAME, by_token("vera"), {}):
            answer = client.request(method, things.filled(path), headers=headers, content=b"{}")
            told = "vera is viewer and may not change anything" in answer.text
            assert (answer.status_code, told) == (403, True), (method, path)
    assert things.stored() == before
    refused = scheduler.audit.entries(who="vera", outcome="refused", limit=1000)
    assert len(refused) == 3 * len(wanted)
    assert {entry.what for entry in refused} == {"request"}
    assert {entry.address for entry in refused} == {"testclient"}


def form_of(client: TestClient, page: str, field: int = 0) -> dict[str, str]:
    fields = re.findall(r'name="csrf" value="([^"]+)"', client.get(page).text)
    return {"csrf": fields[field]}


def changes(scheduler: Scheduler) -> Things:
    """What there is to change, and a node beside."""
    scheduler.store.nodes.register(NODE, {"name": "n", "host": "h", "lease": 86_400.0})
    return Things(scheduler)


NODE = ObjectId()

RELEASE = "control/sequence/release q"
MANY = "jobs/many cancel jobs status:waiting"

#: requests that are right in all but the role, and the action that each of them is: the route, its parameters, and what
#: is sent: the body of a request to the service, or the fields of a form and what that form is signed for
REQUESTS: list[tuple[str, str, str, Any, str]] = [
    ("job.add", "POST /tasks", "", {"profile": "default", "job": "noop"}, ""),
    ("job.add", "POST /api/v1/jobs", "", {"job": "noop"}, ""),
    ("job.update", "PATCH /api/v1/jobs/{name}", "{job}", {"priority": 1}, ""),
    ("job.rewrite", "PATCH /api/v1/jobs/{name}", "{job}", {"data": 1}, ""),
    ("job.delete", "DELETE /api/v1/jobs/{name}", "{job}", None, ""),
    ("job.cancel", "POST /api/v1/jobs/{name}/cancel", "{job}", None, ""),
    ("job.retry", "POST /api/v1/jobs/{name}/retry", "{failed}", None, ""),
    ("job.rewrite", "POST /api/v1/jobs/{name}/retry", "{failed}", {"data": 1}, ""),
    ("job.update", "POST /api/v1/jobs/{name}/run-now", "{job}", None, ""),
    ("job.signal", "POST /api/v1/jobs/{name}/signal", "{job}", {"name": "s"}, ""),
    ("jobs.cancel", "POST /api/v1/jobs:cancel", "", {"everything": True}, ""),
    ("jobs.delete", "POST /api/v1/jobs:delete", "", {"everything": True}, ""),
    ("jobs.retry", "POST /api/v1/jobs:retry", "", {"everything": True}, ""),
    ("flow.cancel", "POST /api/v1/flows/{name}/cancel", "{flow}", None, ""),
    ("flow.retry", "POST /api/v1/flows/{name}/retry", "{flow}", None, ""),
    ("group.set", "PUT /api/v1/groups/{name}", "g", {"weight": 3}, ""),
    ("group.delete", "DELETE /api/v1/groups/{name}", "g", None, ""),
    ("limit.set", "PUT /api/v1/limits/{name}", "l", {"concurrency": 2}, ""),
    ("limit.delete", "DELETE /api/v1/limits/{name}", "l", None, ""),
    ("node.drain", "POST /api/v1/nodes/{name}/drain", "n", None, ""),
    ("pause", "POST /api/v1/pauses", "", {"queue": "x"}, ""),
    ("resume", "DELETE /api/v1/pauses", "?queue=mail", None, ""),
    ("schedule.add", "PUT /api/v1/schedules/{name}", "s", {"job": "noop", "every": 60}, ""),
    ("schedule.delete", "DELETE /api/v1/schedules/{name}", "s", None, ""),
    ("schedule.pause", "POST /api/v1/schedules/{name}/pause", "s", None, ""),
    ("schedule.resume", "POST /api/v1/schedules/{name}/resume", "s", None, ""),
    ("schedule.run", "POST /api/v1/schedules/{name}/run", "s", None, ""),
    ("sequence.release", "POST /api/v1/sequences/{name}/release", "q", None, ""),
    ("service.restart", "POST /api/v1/services/{name}/restart", "x", None, ""),
    ("service.stop", "POST /api/v1/services/{name}/stop", "x", None, ""),
    ("group.set", "POST /control/group", "", {"name": "g", "weight": "3"}, "control/group"),
    ("limit.set", "POST /control/limit", "", {"name": "l", "concurrency": "2"}, "control/limit"),
    ("pause", "POST /control/pause", "", {"kind": "queue", "name": "x"}, "control/pause"),
    ("resume", "POST /control/resume", "", {"key": Pause("queue", "mail").key}, "control/resume"),
    ("limit.delete", "POST /control/{kind}/{action}", "limit delete", {"name": "l"}, "control/limit/delete l"),
    ("group.delete", "POST /control/{kind}/{action}", "group reset", {"name": "g"}, "control/group/reset g"),
    ("sequence.release", "POST /control/{kind}/{action}", "sequence release", {"name": "q"}, RELEASE),
    ("flow.cancel", "POST /flows/{identifier}/{name}", "{flow} cancel", {}, "flows/{flow}/cancel"),
    ("jobs.cancel", "POST /jobs/many", "", {"do": "cancel", "where": "status:waiting", "back": "jobs"}, MANY),
    ("job.cancel", "POST /jobs/{identifier}/{name}", "{job} cancel", {}, "{job}/cancel"),
    ("job.retry", "POST /jobs/{identifier}/{name}", "{failed} retry", {}, "{failed}/retry"),
    ("job.delete", "POST /jobs/{identifier}/{name}", "{job} delete", {}, "{job}/delete"),
    ("node.drain", "POST /nodes/{identifier}/drain", str(NODE), {}, f"nodes/{NODE}/drain"),
    ("schedule.pause", "POST /schedule/{action}", "pause ?name=s", {}, "schedule/pause?name=s"),
    ("schedule.run", "POST /schedule/{action}", "run ?name=s", {}, "schedule/run?name=s"),
    ("schedule.delete", "POST /schedule/{action}", "delete ?name=s", {}, "schedule/delete?name=s"),
]  # fmt: skip

NOBODYS = {("POST", "/login"), ("POST", "/logout")}


def send(client: TestClient, things: Things, request: tuple[str, str, str, Any, str]) -> Any:
    """Sends one of them as it is, or as the form of a page would."""
    _, route, parameters, sent, signed = request
    known = {"job": things.job, "failed": things.failed, "flow": things.flow}
    words = iter(parameters.format(**known).split())
    method, _, path = route.partition(" ")
    path = re.sub(r"\{\w+\}", lambda _: next(words), path) + next(words, "")
    if not signed:
        return client.request(method, path, json=sent, headers=SAME)
    csrf = application(client).state.context.csrf
    form = {**sent, FIELD: csrf.field(client.cookies[COOKIE], signed.format(**known))}
    return client.post(path, data=form, headers=SAME)


def test_every_route_that_changes_something_is_among_the_requests(client: TestClient) -> None:
    assert {tuple(route.split(" ", 1)) for _, route, *_ in REQUESTS} == writing_routes(application(client)) - NOBODYS


class Everything:
    def __contains__(self, one: object) -> bool:
        return True


@pytest.mark.usefixtures("every_refusal")
def test_rights_are_checked_where_actions_are_defined(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without the door that refuses all requests of a viewer."""
    monkeypatch.setattr(access_control, "_SESSION", Everything())
    things = changes(scheduler)
    before = things.stored()
    log_in(client, "vera")
    for request in REQUESTS:
        answer = send(client, things, request)
        told = f"vera is viewer and may not do this ({request[0]})" in answer.text
        assert (answer.status_code, told) == (403, True), (request, answer.text)
    assert things.stored() == before
    found = scheduler.audit.entries(who="vera", outcome="refused", limit=1000)
    assert [entry.what for entry in reversed(found)] == [action for action, *_ in REQUESTS]


def test_what_a_role_may_do_is_done_and_written_down(client: TestClient, scheduler: Scheduler) -> None:
    things = Things(scheduler)
    log_in(client, "otto")
    form = {**form_of(client, f"/jobs/{things.job}/cancel"), "reason": "a wrong order"}
    assert client.post(f"/jobs/{things.job}/cancel", data=form, headers=SAME).status_code == 303
    assert client.delete("/api/v1/limits/l").status_code == 403
    assert client.delete("/api/v1/limits/l?reason=tidy", headers=by_token("ada")).status_code == 204
    found = scheduler.audit.entries(limit=3)
    assert [(entry.who, entry.what, entry.reason, entry.outcome) for entry in found] == [
        ("ada", "limit.delete", "tidy", "done"),
        ("otto", "limit.delete", None, "refused"),
        ("otto", "job.cancel", "a wrong order", "done"),
    ]
    listed = client.get("/api/v1/audit?what=limit&limit=1")
    assert [entry["who"] for entry in listed.json()] == ["ada"]
    older = client.get(re.findall("<(.*)>", listed.headers["Link"])[0])
    assert [entry["who"] for entry in older.json()] == ["otto"]
    assert "a wrong order" in client.get("/audit?who=otto").text


def test_a_stranger_is_led_to_the_login_and_back(client: TestClient) -> None:
    answer = client.get("/jobs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/jobs")
    assert client.get("/login").status_code == 200
    assert client.get("/static/style.css").status_code == 200
    assert (client.get("/tasks").status_code, client.post("/jobs/x/cancel").status_code) == (401, 401)
    assert client.get("/login", headers={"Host": "evil.example"}).status_code == 400
    form = {"csrf": csrf_in(client.get("/login").text), "name": "ada", "password": PASSWORD, "next": "/jobs"}
    answer = client.post("/login", data=form, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=28800" in cookie
    assert "Secure" not in cookie
    assert "ada · log out" in client.get("/jobs").text


@pytest.mark.parametrize("after", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\r\nb"])
def test_a_login_leads_nowhere_else(client: TestClient, after: str) -> None:
    form = {"csrf": csrf_in(client.get("/login").text), "name": "ada", "password": PASSWORD, "next": after}
    assert client.post("/login", data=form, headers=SAME).headers["location"] == "/"


class Stopped(SystemClock):
    """A clock on which no pause ends, however slow the machine is."""

    def monotonic(self) -> float:
        return 0.0


def access_of(client: TestClient) -> UserAccess:
    context: WebContext = application(client).state.context
    assert isinstance(context.access, UserAccess)
    return context.access


def test_a_wrong_password_waits_and_is_written_down(client: TestClient, scheduler: Scheduler) -> None:
    access_of(client).throttle._clock = Stopped()
    codes = [log_in(client, name, "wrong") for name in ("ada", "nobody", "ada", "ada", "ada")]
    assert codes == [401, 401, 401, 401, 429]
    assert log_in(client, "ada") == 429  # also with the right one
    found = scheduler.audit.entries(what="login")
    assert {(entry.who, entry.outcome) for entry in found} == {("not logged in", "refused")}
    assert [entry.target for entry in found] == ["ada", "ada", "nobody", "ada"]


def test_a_logout_ends_the_session_for_who_has_kept_its_cookie(client: TestClient, scheduler: Scheduler) -> None:
    log_in(client, "vera")
    kept = dict(client.cookies)
    form = {"csrf": csrf_in(client.get("/logout").text)}
    assert client.post("/logout", data=form, headers=SAME).status_code == 303
    client.cookies.update(kept)
    assert client.get("/jobs").status_code == 303
    assert [entry.what for entry in scheduler.audit.entries(who="vera")] == ["logout", "login"]


def test_a_login_of_another_site_is_refused(client: TestClient) -> None:
    form = {"csrf": csrf_in(client.get("/login").text), "name": "ada", "password": PASSWORD}
    assert client.post("/login", data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/login", data={**form, "csrf": "x"}, headers=SAME).status_code == 403


def test_a_file_that_others_can_read_lets_nobody_in(client: TestClient, tmp_path: Path) -> None:
    log_in(client, "ada")
    (tmp_path / "users.json").chmod(0o644)
    assert client.get("/jobs").status_code == 503
    (tmp_path / "users.json").chmod(0o600)
    assert client.get("/jobs").status_code == 200


def test_cookies_stay_under_the_root(scheduler: Scheduler, tmp_path: Path) -> None:
    with guarded(scheduler, tmp_path, "/ops/jobs") as client:
        assert client.get("/ops/jobs/jobs").headers["location"] == "/ops/jobs/login?next=/jobs"
        assert log_in(client, "ada", root="/ops/jobs") == 303
        assert {cookie.path for cookie in client.cookies.jar} == {"/ops/jobs"}
        assert client.get("/ops/jobs/jobs").status_code == 200


def test_a_client_of_a_proxy_that_speaks_tls_gets_a_secure_cookie(client: TestClient) -> None:
    form = {"csrf": csrf_in(client.get("/login").text), "name": "ada", "password": PASSWORD}
    client.base_url = client.base_url.copy_with(scheme="https")
    assert "Secure" in client.post("/login", data=form, headers=SAME).headers["set-cookie"]


def test_pages_offer_nothing_that_the_role_may_not_do(client: TestClient, scheduler: Scheduler) -> None:
    things = Things(scheduler)
    pages = [f"/jobs/{things.job}", f"/jobs/{things.failed}", "/control", "/schedule?name=s", f"/flows/{things.flow}"]
    pages.append("/jobs?status=failed")
    offers = re.compile(r'method="post"|name="selected"|/(cancel|retry|delete|reset|pause|run)(?:\?[^"]*)?"')

    def offered(name: str) -> list[int]:
        return [len(offers.findall(client.get(page, headers=by_token(name)).text)) for page in pages]

    assert offered("vera") == [0] * len(pages)
    viewer, operator, admin = offered("vera"), offered("otto"), offered("ada")
    assert all(less < more <= most for less, more, most in zip(viewer, operator, admin, strict=True))
    assert operator != admin
