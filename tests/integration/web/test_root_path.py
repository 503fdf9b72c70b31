"""The pages under a path of a proxy, which may keep the path or strip it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from tests.support.flowing import order
from tests.support.web import HOME

from taskscheduler import Scheduler, Status
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.app import create_app

ROOT = "/ops/jobs-1"

_LINK = re.compile(r'(?:href|action)="([^"#][^"]*)"')


@pytest.fixture(params=[ROOT, ""], ids=["kept", "stripped"])
def sent(request: pytest.FixtureRequest) -> str:
    """What the proxy puts before the path."""
    return str(request.param)


@pytest.fixture
def client(scheduler: Scheduler) -> Iterator[TestClient]:
    with TestClient(create_app(scheduler, ["noop"], None, [], ROOT), HOME, follow_redirects=False) as client:
        yield client


def test_every_link_of_every_page_begins_with_the_root(client: TestClient, scheduler: Scheduler, sent: str) -> None:
    parent = scheduler.add_job("noop")
    scheduler.start_service("s")
    scheduler.track("p").start()
    scheduler.schedules.add("s", "noop", every=60)
    scheduler.schedules.run("s")
    scheduler.limits.set("l", concurrency=1)
    scheduler.add_jobs([("noop", None, {"limits": "l"})] * 2)
    flow = scheduler.flows.add(order(20)).id
    last = [scheduler.add_job("noop", parent=parent.id).id for _ in range(60)][-1]
    pages = ["/", "/jobs", f"/jobs?status=live&before={last}", f"/jobs/{last}", f"/jobs/{last}/cancel",
             f"/jobs/{last}/retry", "/schedules", "/schedule?name=s", "/schedule/pause?name=s", "/control",
             "/flows", f"/flows/{flow}", f"/flows/{flow}/cancel", f"/flows/{flow}/retry",
             "/control/limit/delete?name=l", "/control/group/reset?name=g", "/failures", "/nodes", "/history",
             "/audit", "/jobs/many?all=cancel&q=status:live", "/nowhere"]  # fmt: skip
    for page in pages:
        text = client.get(f"{sent}{page}").text
        links = _LINK.findall(text)
        assert len(links) >= 3, page
        assert all(link.startswith(f"{ROOT}/") for link in links), (page, links)
        assert client.get(links[0]).headers["content-type"].startswith("text/css")


def test_an_action_leads_back_to_the_job_under_the_root(client: TestClient, scheduler: Scheduler, sent: str) -> None:
    job = scheduler.add_job("noop")
    form = client.get(f"{sent}/jobs/{job.id}/cancel").text
    [field] = re.findall(r'name="csrf" value="([^"]+)"', form)
    cookies = {"Cookie": "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)}  # also to a stripped path
    answer = client.post(f"{sent}/jobs/{job.id}/cancel", data={"csrf": field}, headers=cookies)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/jobs/{job.id}?done=cancel")
    assert scheduler.get_job(job.id).status is Status.CANCELED
    assert client.get(answer.headers["location"]).status_code == 200


def test_the_web_service_answers_there_and_says_so(client: TestClient, sent: str) -> None:
    assert client.get(f"{sent}/tasks").json() == []
    assert client.get(f"{sent}/task/{'0' * 24}").json()["code"] == 404
    assert client.get(f"{sent}/openapi.json").json()["servers"] == [{"url": ROOT}]


def test_only_whole_parts_of_the_path_are_the_root(client: TestClient) -> None:
    assert client.get(ROOT).status_code == 200
    for path in (f"{ROOT}x", f"{ROOT}{ROOT}", "/ops", f"{ROOT}tasks"):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize(
    "path",
    ["scheduler", "//x", "/a b", "/a/../b", "/.", "/a?b", "/a#b", "http://x/y", "/ä", "/control", "/tasks/x", "/a//b"],
)
def test_other_roots_are_refused(path: str, uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", "-u", uri, "--port", "0", "--root-path", path]) == 2
    assert "--root-path" in capsys.readouterr().err
