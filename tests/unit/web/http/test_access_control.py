"""Which requests the access middleware admits, and what it adds to every answer."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from tests.support.tables import table

from taskscheduler_daemon.web.http.access.policies import SharedToken
from taskscheduler_daemon.web.http.access_control import HEADERS, AccessMiddleware, Doors, is_loopback
from taskscheduler_daemon.web.http.answers import refusal

SAME = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}


def client(token: str | None = None, host: str = "localhost") -> TestClient:
    app = PlainTextResponse("inside", headers={"X-Frame-Options": "ALLOW"})
    doors = Doors(SharedToken(token), ["Jobs.Example"])
    return TestClient(AccessMiddleware(app, doors, cast(Any, None)), f"http://{host}")


@table(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "10.1.2.3", "[::1]:80", "jobs.example", "JOBS.example:1"]
)
def test_known_hosts_and_addresses_are_admitted(host: str) -> None:
    assert client().get("/", headers={"Host": host}).text == "inside"


ODD = [
    "evil.com@localhost", "evil.com:80@localhost", "@localhost", "localhost/evil", "localhost?x", "localhost#x",
    "localhost\\evil", "localhost evil.com", "localhost:80:80", "localhost:80x", "localhost:999999",
    "localhost,evil.com",    "::1", "[::1", "[::1]x", "[evil.com]", "127.0.0.1@evil.com", "evil.com@127.0.0.1",
    "1.2.3.4.5", "999.1.1.1",
    "localhost.",    ".localhost", "local%68ost", "http://localhost", "[::1]@localhost",
]  # fmt: skip


def test_two_hosts_are_refused() -> None:
    answer = client().get("/", headers=[("Host", "localhost"), ("Host", "evil.example")])
    assert answer.status_code == 400


@table("host", ["evil.example", "localhost.evil.example", "", "[", "127.0.0.1.evil.example", *ODD])
def test_other_hosts_are_refused(host: str) -> None:
    answer = client().get("/", headers={"Host": host})
    assert (answer.status_code, answer.json()["message"]) == (400, "Unknown host; allow it with --allow-host")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@table("given", ["Bearer s3cret", "bearer   s3cret", basic("anybody:s3cret"), basic(":s3cret")])
def test_the_token_is_taken_as_bearer_or_password(given: str) -> None:
    assert client("s3cret").get("/", headers={"Authorization": given}).text == "inside"


@table("given", ["", "s3cret", "Bearer", "Bearer s3cre", "Digest s3cret", "Basic !", basic("s3cret"), basic("s3cret:")])
def test_without_the_token_a_request_is_refused(given: str) -> None:
    answer = client("s3cret").get("/", headers={"Authorization": given})
    assert (answer.status_code, answer.json()["message"]) == (401, "This request needs a token")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("headers", [{}, SAME, {"Sec-Fetch-Site": "none"}])
def test_a_change_from_our_pages_or_a_program_is_admitted(headers: dict[str, str]) -> None:
    assert client().post("/", headers=headers).text == "inside"


@table(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_change_from_another_site_is_refused_but_not_a_look(headers: dict[str, str]) -> None:
    answer = client().post("/", headers={**SAME, **headers})
    assert (answer.status_code, answer.json()["message"]) == (403, "Cross-site requests are not allowed")
    assert client().get("/", headers=headers).text == "inside"


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_answer_has_the_security_headers(host: str) -> None:
    answer = client(host=host).get("/")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["Cache-Control"] == "no-store"


@table("host", ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_only_this_machine_reaches_loopback(host: str) -> None:
    assert is_loopback(host)


@table("host", ["0.0.0.0", "::", "10.0.0.1", "web.example", ""])
def test_other_machines_may_reach_any_other_address(host: str) -> None:
    assert not is_loopback(host)


def test_a_refusal_can_repeat_any_text() -> None:
    answer = refusal(400, "\ud800ö")
    assert answer.body == b'{"message": "\\ud800\\u00f6", "code": 400}'
