"""The description of the web service: the same as served and as printed, sound, and complete for each endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.little import Little

from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.app import openapi

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return openapi()


def test_the_command_prints_what_is_served_without_a_database(
    client: TestClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", "mongodb://127.0.0.1:1/none")
    monkeypatch.setattr("taskscheduler_daemon.cli.commands.nodes.openapi.registered_jobs", lambda _: [Little.__job__])
    assert main(["openapi", "--root-path", "/ops/jobs/"]) == 0
    served = {**client.get("/openapi.json").json(), "servers": [{"url": "/ops/jobs"}]}
    text = json.dumps(served, indent=2, sort_keys=True).replace('"noop"', '"little"')
    assert capsys.readouterr().out == text + "\n"


def test_every_reference_leads_to_a_schema(described: dict[str, Any]) -> None:
    text = json.dumps(described)
    for name in described["components"]["schemas"]:
        text = text.replace(f'"$ref": "#/components/schemas/{name}"', "")
    assert "$ref" not in text


def test_each_endpoint_describes_the_errors_that_any_request_may_get(described: dict[str, Any]) -> None:
    for path, operations in described["paths"].items():
        for method, operation in operations.items() if path.startswith("/api/v1") else ():
            always = {"400", "401", "403", "500", "503"} | (
                {"408", "413", "415"} if "requestBody" in operation else set()
            )
            errors = {code: told for code, told in operation["responses"].items() if code >= "400"}
            assert always - set(errors) == set(), (method, path)
            assert [told["content"] for told in errors.values()] == [PROBLEM] * len(errors), (method, path)
