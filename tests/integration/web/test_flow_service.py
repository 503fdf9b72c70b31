"""The web service of flows: the records of the command line, pages of bounded size, and what it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.support.flowing import order
from tests.support.web import as_served

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.flow_state import RunningFlow
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.flow_forms import FlowDetails, FlowJob, FlowRecord, RetriedFlow

PATH = "/api/v1/flows"


def ran(scheduler: Scheduler, flow: Flow) -> RunningFlow:
    running = scheduler.flows.add(flow)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return running.refresh()


def ids(answer: Any) -> list[str]:
    return [record["id"] for record in answer.json()]


def following(answer: Any) -> str:
    [link] = re.findall(r'<([^>]+)>; rel="next"', answer.headers["link"])
    return str(link)


def test_flows_are_listed_as_the_command_prints_them(
    client: TestClient, scheduler: Scheduler, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.get(PATH).json() == []
    failed = ran(scheduler, order(2, broken=[1], name="order 1"))
    going = scheduler.flows.add(order(1, name="bill 2"))
    answer = client.get(PATH)
    TypeAdapter(list[FlowRecord]).validate_json(answer.content)
    assert ids(answer) == [str(going.id), str(failed.id)]
    capsys.readouterr()
    assert main(["-u", uri, "flow", "list", "-o", "json"]) == 0
    assert as_served(capsys.readouterr().out) == answer.json()
    assert ids(client.get(f"{PATH}?status=failed")) == [str(failed.id)]
    assert ids(client.get(f"{PATH}?name=bill")) == [str(going.id)]
    assert ids(client.get(f"{PATH}?name=ill")) == []


def test_pages_lead_to_the_next_one(client: TestClient, scheduler: Scheduler) -> None:
    added = [str(scheduler.flows.add(order(1, name=f"f & {n}")).id) for n in range(5)]
    scheduler.flows.add(order(1, name="other"))
    address, seen = f"{PATH}?limit=2&name=f%20%26&status=running", list[str]()
    while True:
        answer = client.get(address)
        seen += ids(answer)
        if "link" not in answer.headers:
            break
        address = following(answer)
    assert seen == added[::-1]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "status=odd", "before=x", "x=1", "name=%00", "before=" + "z" * 24]
)
def test_wrong_parameters_are_named(client: TestClient, query: str) -> None:
    answer = client.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"type", "title", "status", "detail"}


def test_one_flow_has_its_depth_and_what_failed(client: TestClient, scheduler: Scheduler) -> None:
    failed = ran(scheduler, order(40, broken=range(30)))
    answer = client.get(f"{PATH}/{failed.id}")
    TypeAdapter(FlowDetails).validate_json(answer.content)
    assert answer.json()["counts"] == {"failed": 30, "canceled": 1, "done": 11}
    assert (answer.json()["depth"], len(answer.json()["failed"])) == (3, 20)
    assert answer.json()["failed"][0]["error"]["message"] == "part 0 is broken"
    assert "traceback" not in answer.json()["failed"][0]["error"]


def test_its_jobs_come_in_pages_in_the_order_in_which_they_run(client: TestClient, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(4))
    answer = client.get(f"{PATH}/{flow.id}/jobs?limit=4")
    TypeAdapter(list[FlowJob]).validate_json(answer.content)
    assert [job["label"] for job in answer.json()] == ["Fetch", "Pack 0", "Pack 1", "Pack 2"]
    rest = client.get(following(answer))
    assert ([job["label"] for job in rest.json()], "link" in rest.headers) == (["Pack 3", "Ship"], False)
    last = rest.json()[-1]
    assert (last["layer"], last["after_count"], last["state"], last["on_failure"]) == (2, 4, "postponed", "cancel")
    assert last["after"] == [str(process.id) for process in flow.processes[1:5]]
    assert "data" not in last
    assert [job["label"] for job in client.get(f"{PATH}/{flow.id}/jobs?state=waiting").json()] == ["Fetch"]
    for query in ("state=odd", "limit=0", "skip=-1", "x=1"):
        assert client.get(f"{PATH}/{flow.id}/jobs?{query}").status_code == 400, query


def test_no_answer_grows_with_the_flow(client: TestClient, scheduler: Scheduler) -> None:
    flow = Flow("full")
    before = [flow.add("noop") for _ in range(300)]
    for _ in range(2):
        before = [flow.add("noop", after=before) for _ in range(300)]
    running = scheduler.flows.add(flow)
    assert len(client.get(f"{PATH}/{running.id}").content) < 1000
    assert len(client.get(f"{PATH}/{running.id}/jobs").content) < 120_000


def test_a_flow_is_cancelled_once(client: TestClient, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(2))
    answer = client.post(f"{PATH}/{flow.id}/cancel", json={"reason": "wrong order"})
    TypeAdapter(FlowRecord).validate_json(answer.content)
    assert (answer.status_code, answer.json()["status"], answer.json()["reason"]) == (200, "canceled", "wrong order")
    assert {process.reason for process in flow.processes} == {"wrong order"}
    answer = client.post(f"{PATH}/{flow.id}/cancel")
    assert (answer.status_code, answer.json()["detail"]) == (409, "It has ended: it is canceled.")


def test_what_failed_is_retried(client: TestClient, scheduler: Scheduler, tmp_path: Path) -> None:
    flow = Flow("passes")
    flow.add("flow-passes", str(tmp_path / "flag"), label="first")
    flow.add("noop", after=["first"])
    failed = ran(scheduler, flow)
    answer = client.post(f"{PATH}/{failed.id}/retry")
    TypeAdapter(RetriedFlow).validate_json(answer.content)
    assert (answer.status_code, answer.json()["retried"], answer.json()["status"]) == (200, 2, "running")
    assert {process.status for process in failed.processes} == {Status.WAITING, Status.POSTPONED}
    answer = client.post(f"{PATH}/{failed.id}/retry")
    assert (answer.status_code, answer.json()["detail"]) == (409, "None of its jobs has failed.")


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_a_wrong_reason_changes_nothing(client: TestClient, scheduler: Scheduler, action: str) -> None:
    flow = scheduler.flows.add(order(1))
    for body in ({"reason": "x" * 501}, {"reason": 5}, {"why": "x"}):
        assert client.post(f"{PATH}/{flow.id}/{action}", json=body).status_code == 400
    broken: dict[str, Any] = {"content": b"[", "headers": {"Content-Type": "application/json"}}
    assert client.post(f"{PATH}/{flow.id}/{action}", **broken).status_code == 400
    assert flow.refresh().status == "running"


def test_an_unknown_flow_is_not_found(client: TestClient) -> None:
    for name in ("0" * 24, "x", "%2F", "flow%00"):
        for verb, path in (("GET", ""), ("GET", "/jobs"), ("POST", "/cancel"), ("POST", "/retry")):
            answer = client.request(verb, f"{PATH}/{name}{path}")
            assert answer.status_code in (404, 405), (verb, name, path)
            assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert client.get(f"{PATH}/{'0' * 24}").json()["detail"] == f"flow {'0' * 24} was not found"
