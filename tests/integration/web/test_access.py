"""Users with roles: whatever a viewer sends to whichever route, nothing changes, and the attempt is written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.access import PASSWORD, by_token, csrf_in, guarded, log_in
from tests.support.changing import Things, application, writing_routes

from taskscheduler import Scheduler
from taskscheduler.clock import SystemClock
from taskscheduler.model.audit import refusals
from taskscheduler_daemon.web import UserAccess
from taskscheduler_daemon.web.http import access_control
from taskscheduler_daemon.web.http.context import WebContext

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


Send = Callable[[TestClient, Things], Any]


def post(page: str, path: str | None = None, **more: str) -> Send:
    def send(client: TestClient, things: Things) -> Any:
        known = {"job": things.job, "failed": things.failed, "flow": things.flow}
        at = page.format(**known)
        form = {**form_of(client, at), **more}
        return client.post(path or at.partition("?")[0] + at[len(at.partition("?")[0]) :], data=form, headers=SAME)

    return send


def call(method: str, path: str, body: Any = None) -> Send:
    def send(client: TestClient, things: Things) -> Any:
        at = path.format(job=things.job, failed=things.failed, flow=things.flow)
        return client.request(method, at, json=body, headers=SAME)

    return send


#: requests that are right in all but the role, and the action that each of them is
REQUESTS: list[tuple[str, Send]] = [
    ("job.cancel", post("/jobs/{job}/cancel")),
    ("job.retry", post("/jobs/{failed}/retry")),
    ("job.delete", post("/jobs/{job}/delete")),
    ("flow.cancel", post("/flows/{flow}/cancel")),
    ("job.add", call("POST", "/tasks", {"profile": "default", "job": "noop"})),
    ("limit.set", call("PUT", "/api/v1/limits/l", {"concurrency": 2})),
    ("limit.delete", call("DELETE", "/api/v1/limits/l")),
    ("group.set", call("PUT", "/api/v1/groups/g", {"weight": 3})),
    ("group.delete", call("DELETE", "/api/v1/groups/g")),
    ("schedule.add", call("PUT", "/api/v1/schedules/s", {"job": "noop", "every": 60})),
    ("schedule.pause", call("POST", "/api/v1/schedules/s/pause")),
    ("schedule.run", call("POST", "/api/v1/schedules/s/run")),
    ("schedule.delete", call("DELETE", "/api/v1/schedules/s")),
    ("flow.cancel", call("POST", "/api/v1/flows/{flow}/cancel")),
    ("sequence.release", call("POST", "/api/v1/sequences/q/release")),
]


class Everything:
    def __contains__(self, one: object) -> bool:
        return True


@pytest.mark.usefixtures("every_refusal")
def test_rights_are_checked_where_actions_are_defined(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without the door that refuses all requests of a viewer."""
    monkeypatch.setattr(access_control, "_SESSION", Everything())
    things = Things(scheduler)
    before = things.stored()
    log_in(client, "vera")
    for action, send in REQUESTS:
        answer = send(client, things)
        assert (answer.status_code, f"vera is viewer and may not do this ({action})" in answer.text) == (403, True), (
            action,
            answer.text,
        )
    assert things.stored() == before
    found = scheduler.audit.entries(who="vera", outcome="refused")
    assert [entry.what for entry in reversed(found)] == [action for action, _ in REQUESTS]


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
