"""The application mounted in others, under any path, and behind a proxy: links, redirects, cookies, forms and files."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.access import cookies, csrf_in, log_in, users_file
from tests.support.eventually import eventually
from tests.support.web import HOME

from taskscheduler import Scheduler, Status
from taskscheduler.model.audit.actions import Role
from taskscheduler_daemon.web import ProxyAccess, UserAccess, UsersFile, create_app

_LINK = re.compile(r'(?:href|src|action)="([^"#][^"]*)"')


def in_starlette(app: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Route("/", lambda _: PlainTextResponse("mine")), Mount("/ops/jobs", app)])


def in_fastapi(app: ASGIApp) -> ASGIApp:
    outer = FastAPI()
    outer.mount("/jobs", app)
    return outer


def in_django(app: ASGIApp) -> ASGIApp:
    """As the documentation says it for Django, which mounts nothing itself."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/ops/jobs/"):
            await app({**scope, "root_path": "/ops/jobs"}, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse("django")(scope, receive, send)

    return application


#: how it is mounted, the root path of the server, and the path of a request: a proxy may have stripped that root
MOUNTED: list[tuple[Callable[[ASGIApp], ASGIApp], str, str]] = [
    (in_starlette, "", "/ops/jobs"),
    (in_fastapi, "/ops", "/jobs"),
    (in_fastapi, "/ops", "/ops/jobs"),
    (in_django, "", "/ops/jobs"),
]


@pytest.mark.parametrize(("mounted", "root", "at"), MOUNTED)
def test_it_works_under_any_path(
    scheduler: Scheduler, tmp_path: Path, mounted: Callable[[ASGIApp], ASGIApp], root: str, at: str
) -> None:
    access = UserAccess(UsersFile(users_file(tmp_path)))
    outer = mounted(create_app(scheduler, ["noop"], access=access))
    client = TestClient(outer, HOME, follow_redirects=False, root_path=root)
    jobs = [scheduler.add_job("noop") for _ in range(2)]
    scheduler.limits.set("a/b", concurrency=1)
    assert client.get(f"{at}/jobs").headers["location"] == "/ops/jobs/login?next=/jobs"
    assert log_in(client, "ada", root=at) == 303
    assert {cookie.path for cookie in client.cookies.jar} == {"/ops/jobs"}
    headers = cookies(client)
    for page in ("/", "/jobs", f"/jobs/{jobs[0].id}", f"/jobs/{jobs[0].id}/cancel", "/control", "/audit", "/nowhere"):
        links = _LINK.findall(client.get(f"{at}{page}", headers=headers).text)
        assert len(links) > 5, page
        assert all(link.startswith("/ops/jobs/") for link in links), (page, links)
    assert client.get(f"{at}/static/style.css").headers["content-type"].startswith("text/css")
    field = csrf_in(client.get(f"{at}/jobs/{jobs[0].id}/cancel", headers=headers).text)
    answer = client.post(f"{at}/jobs/{jobs[0].id}/cancel", data={"csrf": field}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ops/jobs/jobs/{jobs[0].id}?done=cancel")
    assert jobs[0].refresh().status is Status.CANCELED
    assert len(client.get(f"{at}/tasks", headers=headers).json()) == 2
    assert client.get(f"{at}/api/v1/limits/a%2Fb", headers=headers).json()["name"] == "a/b"
    assert client.get(f"{at}/openapi.json", headers=headers).json()["servers"] == [{"url": "/ops/jobs"}]


def test_it_needs_no_lifespan_and_takes_one(scheduler: Scheduler) -> None:
    app = create_app(scheduler, ["noop"])
    assert TestClient(in_starlette(app), HOME).get("/ops/jobs/tasks").json() == []
    with TestClient(app, HOME) as client:
        assert client.get("/tasks").json() == []
    assert TestClient(in_starlette(app), HOME).get("/").text == "mine"


class Proxy(BaseHTTPRequestHandler):
    """A small proxy: takes /ops/jobs away and says who it is."""

    target = 0

    def do_GET(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        kept = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        headers = {**kept, "X-Forwarded-User": "otto", "X-Forwarded-Groups": "ops", "X-Forwarded-For": "192.0.2.7"}
        connection.request(self.command, self.path.removeprefix("/ops/jobs") or "/", body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "date", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", proxy_headers=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, 30, "the server listens")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def proxied(target: int) -> Iterator[int]:
    handler = type("Target", (Proxy,), {"target": target})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask(port: int, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, path, body, {**form, **headers})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    return found


def test_a_real_proxy_strips_the_path_and_says_who_it_is(scheduler: Scheduler) -> None:

    access = ProxyAccess("X-Forwarded-User", "X-Forwarded-Groups", {"ops": Role.OPERATOR})
    job = scheduler.add_job("noop")
    with serving(create_app(scheduler, root="/ops/jobs", access=access)) as target, proxied(target) as port:
        assert ask(target, "GET", "/jobs")[0] == 401
        status, text, headers = ask(port, "GET", f"/ops/jobs/jobs/{job.id}/cancel")
        assert (status, all(link.startswith("/ops/jobs/") for link in _LINK.findall(text))) == (200, True)
        cookie, attributes = headers["set-cookie"].split(";", 1)
        assert "Path=/ops/jobs" in attributes
        body = f"csrf={csrf_in(text)}&reason=late"
        origin = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{port}"}
        status, _, headers = ask(port, "POST", f"/ops/jobs/jobs/{job.id}/cancel", body, **origin)
        assert (status, headers["location"]) == (303, f"/ops/jobs/jobs/{job.id}?done=cancel")
        status, text, _ = ask(port, "GET", f"/ops/jobs/jobs/{job.id}/delete", **origin)
        status, _, _ = ask(port, "POST", f"/ops/jobs/jobs/{job.id}/delete", f"csrf={csrf_in(text)}", **origin)
        assert status == 403
    found = scheduler.audit.entries()
    assert [(entry.who, entry.address, entry.what, entry.reason, entry.outcome) for entry in found] == [
        ("otto", "192.0.2.7", "job.delete", None, "refused"),
        ("otto", "192.0.2.7", "job.cancel", "late", "done"),
    ]
