"""The web service of limits and sequences: the records of the command line, and a reason for what it refuses."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.integration.web.test_control_pages import NAMES, blocked

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.control_forms import BlockedRecord, LimitRecord
from taskscheduler_daemon.web.http.answers import Error

PATH = "/api/v1/limits"


def address(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != ".."])
def test_the_life_of_a_limit(client: TestClient, scheduler: Scheduler, name: str) -> None:
    answer = client.put(address(name), json={"concurrency": 5})
    assert (answer.status_code, answer.headers["location"]) == (201, address(name))
    answer = client.put(address(name), json={"rate": 100, "per": 60, "burst": 20, "concurrency": None})
    assert (answer.status_code, "location" in answer.headers) == (200, False)
    assert client.get(address(name)).json() == answer.json()
    [use] = scheduler.limits.all()
    limit = use.limit
    assert (limit.name, limit.concurrency, limit.rate, limit.per, limit.burst) == (name, None, 100, 60, 20)
    assert client.delete(address(name)).status_code == 204
    assert [client.request(verb, address(name)).status_code for verb in ("GET", "DELETE")] == [404, 404]


def test_it_answers_what_the_command_line_prints(
    client: TestClient, scheduler: Scheduler, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.limits.set("stripe", concurrency=1)
    scheduler.limits.set("api", rate=2)
    scheduler.add_jobs([("noop", None, {"limits": "stripe"})] * 3)
    blocked(scheduler, "account-42")
    shapes: dict[str, Any] = {"limits": list[LimitRecord], "sequences": list[BlockedRecord]}
    for command, shape in shapes.items():
        assert main(["--uri", uri, command, "-o", "json"]) == 0
        answer = client.get(f"/api/v1/{command}")
        printed = json.loads(capsys.readouterr().out)
        assert answer.json() == printed
        assert printed
        TypeAdapter(shape).validate_python(printed)


def test_a_sequence_is_released_once(client: TestClient, scheduler: Scheduler) -> None:
    _, following = blocked(scheduler, "a/b")
    path = "/api/v1/sequences/a%2Fb/release"
    assert [client.post(path).status_code, client.post(path).status_code] == [204, 404]
    assert following.refresh().status.label == "waiting"
    assert client.get("/api/v1/sequences").json() == []


WRONG: list[tuple[Any, str]] = [
    ({}, "give concurrency, rate or both"),
    ({"concurrency": "5"}, "option concurrency"),
    ({"concurrency": True}, "option concurrency"),
    ({"rate": "fast"}, "option rate"),
    ({"rate": 1, "per": []}, "option per"),
    ({"rate": 1, "burst": 1.5}, "option burst"),
    ({"concurrency": 1, "places": 5}, 'Unknown "places"; known are concurrency, rate, per, burst'),
    ([], "it must be an object"),
]


def test_a_wrong_body_is_refused_with_a_reason(client: TestClient, scheduler: Scheduler) -> None:
    for body, text in WRONG:
        answer = client.put(address("x"), json=body)
        message = Error.model_validate_json(answer.content).message
        assert (answer.status_code, text in message) == (400, True), answer.text
    assert scheduler.limits.all() == []


def test_a_wrong_name_is_refused(client: TestClient) -> None:
    for verb, path in (
        ("PUT", address("a*b")),
        ("DELETE", address("x" * 201)),
        ("POST", "/api/v1/sequences/a*/release"),
        ("GET", f"{PATH}?limit=5"),
    ):
        answer = client.request(verb, path, json={"concurrency": 1} if verb == "PUT" else None)
        assert answer.status_code == 400, path


def test_it_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths[f"{PATH}/{{name}}"]) == {"get", "put", "delete"}
    assert set(paths["/api/v1/sequences/{name}/release"]["post"]["responses"]) >= {"204", "400", "404"}
