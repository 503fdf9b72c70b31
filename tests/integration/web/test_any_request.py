"""Whatever is sent to the webservice, it answers as it says in its own description."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.support.web import HOME

from taskscheduler_daemon.web.http.answers import Error
from taskscheduler_daemon.web.jobqueue.tasks import NewTask, Task

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
GOOD = {"profile": st.from_regex(r"[_a-z0-9-]+", fullmatch=True), "job": st.just("noop")}
PARAMETERS = st.none() | st.lists(st.nothing()) | st.dictionaries(st.text(), VALUES)
BODIES = (
    st.fixed_dictionaries(GOOD, optional={"parameters": PARAMETERS})
    | st.fixed_dictionaries({}, optional={**GOOD, "profile": VALUES, "job": VALUES, "parameters": VALUES, "x": VALUES})
    | VALUES
)
FILTERS = st.dictionaries(
    st.sampled_from(["profile", "status", "order", "x"]),
    st.sampled_from(["waiting", "failed", "canceled", "date", "profile", "status", "a"]) | st.text(),
)
often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def _description(app: Any) -> Any:
    """What an application says of itself, which takes longer than most answers."""
    with TestClient(app, HOME) as client:
        return client.get("/openapi.json").json()


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def answered(client: TestClient, verb: str, path: str, described: str, shape: Any, **sent: Any) -> int:
    """The code of an answer that is as described."""
    answer = client.request(verb, path, **sent)
    responses = _description(client.app)["paths"][described][verb.lower()]["responses"]
    assert str(answer.status_code) in responses
    assert answer.status_code < 500
    assert answer.headers["content-type"] == "application/json"
    if answer.status_code < 400:
        _adapter(shape).validate_json(answer.content)
    else:
        assert Error.model_validate_json(answer.content).code == answer.status_code
    return answer.status_code


@often
@given(BODIES)
def test_any_body(client: TestClient, body: Any) -> None:
    code = answered(client, "POST", "/tasks", "/tasks", Task, content=json.dumps(body))
    assert code == 400 or NewTask.model_validate(body)


@often
@given(st.binary())
def test_any_bytes(client: TestClient, body: bytes) -> None:
    assert answered(client, "POST", "/tasks", "/tasks", Task, content=body) == 400


@often
@given(FILTERS)
def test_any_filter(client: TestClient, filters: dict[str, str]) -> None:
    answered(client, "GET", "/tasks", "/tasks", list[Task], params=filters)


@often
@given(st.text(min_size=1).filter(lambda text: "/" not in text and text not in (".", "..")))
def test_any_identifier(client: TestClient, identifier: str) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in identifier.encode("utf-8", "surrogatepass"))
    assert answered(client, "GET", f"/task/{quoted}", "/task/{identifier}", Task) == 404
