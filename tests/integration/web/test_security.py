"""Who may come in, and what every answer tells the browser."""

from __future__ import annotations

import base64
import socket

from click.testing import CliRunner
from starlette.testclient import TestClient
from tests.support.web import HOME, visit

from taskscheduler import Scheduler
from taskscheduler_daemon.cli.group import cli
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.web.http.access_control import HEADERS, is_loopback

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
    ("evil.example@localhost", False),
    ("evil.example:80@localhost:8080", False),
    ("localhost/evil.example", False),
    ("localhost#evil.example", False),
    ("localhost, evil.example", False),
    ("localhost evil.example", False),
    ("evil.example\\@localhost", False),
    ("localhost:port", False),
    ("localhost:8080:8080", False),
    ("localhost.", False),
    ("127.0.0.1@localhost", False),
    ("[::1]evil.example", False),
    ("0x7f.1", False),
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


def test_a_port_that_is_taken_is_said_in_one_line(uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = CliRunner().invoke(cli, ["web", "--port", port], obj=Settings(uri=uri), env={"TASKSCHEDULER_URI": uri})
    assert ran.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; see --host and --port" in ran.output
    assert "http://" not in ran.output


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
