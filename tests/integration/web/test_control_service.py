"""The web service of limits and sequences: the records of the command line, and a reason for what it refuses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.integration.web.test_control_pages import NAMES, blocked
from tests.support.web import as_served

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.control_forms import BlockedRecord, GroupRecord, LimitRecord
from taskscheduler_daemon.web.http.problems import Problem

PATH = "/api/v1/limits"
GROUPS = "/api/v1/groups"


def address(name: str, path: str = PATH) -> str:
    return f"{path}/{quote(name, safe='')}"


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


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("..", "tenant:*")])
def test_the_life_of_a_weight(client: TestClient, scheduler: Scheduler, name: str) -> None:
    path = address(name, GROUPS)
    answer = client.put(path, json={"weight": 3})
    assert (answer.status_code, answer.headers["location"]) == (201, path)
    answer = client.put(path, json={"weight": 0.5})
    assert (answer.status_code, "location" in answer.headers) == (200, False)
    assert client.get(path).json() == answer.json()
    assert [(use.name, use.weight) for use in scheduler.groups.all()] == [(name, 0.5)]
    assert client.delete(path).status_code == 204
    assert [client.request(verb, path).status_code for verb in ("GET", "DELETE")] == [404, 404]


def test_a_group_without_a_weight_is_there_while_jobs_of_it_wait(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"group": "a"})] * 2)
    expected = {"name": "a", "weight": 1, "waiting": 2, "by": None, "at": None}
    assert client.get(address("a", GROUPS)).json() == expected
    assert client.get(GROUPS).json() == [expected]
    assert client.delete(address("a", GROUPS)).status_code == 404
    assert client.put(address("a", GROUPS), json={"weight": 2}).status_code == 200
    assert client.get(address("a", GROUPS)).json()["weight"] == 2


def test_it_answers_what_the_command_line_prints(
    client: TestClient, scheduler: Scheduler, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.limits.set("stripe", concurrency=1)
    scheduler.limits.set("api", rate=2)
    scheduler.add_jobs([("noop", None, {"limits": "stripe"})] * 3)
    blocked(scheduler, "account-42")
    scheduler.groups.set("customer-7", weight=3)
    scheduler.add_job("noop", group="customer-8")
    shapes: dict[str, Any] = {
        "limits": list[LimitRecord],
        "groups": list[GroupRecord],
        "sequences": list[BlockedRecord],
    }
    for command, shape in shapes.items():
        assert main(["--uri", uri, command, "-o", "json"]) == 0
        answer = client.get(f"/api/v1/{command}")
        printed = as_served(capsys.readouterr().out)
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
    ({"concurrency": 1, "places": 5}, 'Unknown field "places"; there are concurrency, rate, per, burst'),
    ([], "it must be an object"),
]


def test_a_wrong_body_is_refused_with_a_reason(client: TestClient, scheduler: Scheduler) -> None:
    for body, text in WRONG:
        answer = client.put(address("x"), json=body)
        message = Problem.model_validate_json(answer.content).detail
        assert (answer.status_code, text in message) == (400, True), answer.text
    assert scheduler.limits.all() == []


WRONG_WEIGHTS: list[tuple[Any, str]] = [
    ({}, "option weight must be a number from 0.01 to 1000, not None"),
    ({"weight": "3"}, "option weight"),
    ({"weight": True}, "option weight"),
    ({"weight": 0}, "option weight"),
    ({"weight": 1, "turns": 5}, 'Unknown field "turns"; there are weight'),
    ([], "it must be an object"),
]


def test_a_wrong_weight_is_refused_with_a_reason(client: TestClient, scheduler: Scheduler) -> None:
    for body, text in WRONG_WEIGHTS:
        answer = client.put(address("x", GROUPS), json=body)
        message = Problem.model_validate_json(answer.content).detail
        assert (answer.status_code, text in message) == (400, True), answer.text
    assert scheduler.groups.all() == []


def test_a_wrong_name_is_refused(client: TestClient) -> None:
    for verb, path in (
        ("PUT", address("a*b")),
        ("DELETE", address("x" * 201)),
        ("POST", "/api/v1/sequences/a*/release"),
        ("GET", f"{PATH}?limit=5"),
        ("PUT", address("a*", GROUPS)),
        ("DELETE", address("x" * 201, GROUPS)),
        ("GET", f"{GROUPS}?limit=5"),
    ):
        body = {"weight": 1} if GROUPS in path else {"concurrency": 1}
        answer = client.request(verb, path, json=body if verb == "PUT" else None)
        assert answer.status_code == 400, path


def test_it_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in (PATH, GROUPS):
        assert set(paths[f"{path}/{{name}}"]) == {"get", "put", "delete"}
    assert set(paths["/api/v1/sequences/{name}/release"]["post"]["responses"]) >= {"204", "400", "404"}
