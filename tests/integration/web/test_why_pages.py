"""Why a job does not run: on its page, on the overview, and from the web service."""

from __future__ import annotations

import html
import re

import pytest
from bson import ObjectId
from bson.json_util import loads
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.integration.web.test_control_pages import NAMES, blocked

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.control_forms import ReasonRecord
from taskscheduler_daemon.web.api.records import plain


@pytest.fixture(autouse=True)
def a_node(scheduler: Scheduler) -> None:
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "slots": 0})


def said(client: TestClient, job_id: object) -> tuple[str, list[str]]:
    """The reason on the page of a job, and where its links lead."""
    found = re.search(r'id="why">(.*?)</div>', client.get(f"/jobs/{job_id}").text)
    if found is None:
        return "", []
    links = re.findall(r'href="/([^"]*)"', found[1])
    text = re.sub(r"<[^>]*>", "", found[1].partition("<a ")[0])
    return html.unescape(text), links


def test_the_page_of_a_job_says_why_it_does_not_run(client: TestClient, scheduler: Scheduler) -> None:
    failed, following = blocked(scheduler, "account-42")
    text, links = said(client, following.id)
    assert text.startswith(f'SEQUENCE sequence "account-42": {failed.id} comes first and has failed')
    assert links == ["control#sequences", f"jobs/{failed.id}"]
    assert all(client.get(f"/{link}").status_code == 200 for link in links)
    assert said(client, failed.id) == ("", [])
    waiting = scheduler.add_job("noop", queue="mail")
    scheduler.pause(queue="mail", reason="<b>SMTP</b>")
    text, links = said(client, waiting.id)
    assert text.startswith('PAUSED queue "mail" is paused by ')
    assert text.endswith(": <b>SMTP</b>")
    assert links == ["control#pauses"]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("*")])
def test_whatever_the_names(client: TestClient, scheduler: Scheduler, name: str) -> None:
    scheduler.limits.set(name, concurrency=0)
    job = scheduler.add_job("noop", limits=name)
    text, links = said(client, job.id)
    assert text.startswith(f'LIMIT limit "{name[:80]}": its concurrency is 0')
    assert links == ["control#limits"]


def test_the_overview_counts_what_is_kept_back(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_job("noop")
    assert "Kept back" not in client.get("/").text
    blocked(scheduler, "account-42")
    row = r'<tr><th scope="row"><a href="/control#sequences">SEQUENCE</a></th><td [^>]*>1</td><td [^>]*>another job of'
    assert re.search(row, client.get("/").text)


def test_the_service_answers_what_the_command_line_prints(
    client: TestClient, scheduler: Scheduler, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, following = blocked(scheduler, "account-42")
    for arguments, path in (([str(following.id)], f"/{following.id}"), (["--summary"], "")):
        assert main(["--uri", uri, "why", *arguments, "-o", "json"]) == 0
        answer = client.get(f"/api/v1/why{path}")
        assert (answer.status_code, answer.json()) == (200, plain(loads(capsys.readouterr().out)))
    TypeAdapter(ReasonRecord).validate_python(client.get(f"/api/v1/why/{following.id}").json())
    assert client.get("/api/v1/why").json() == {"SEQUENCE": 1}


@pytest.mark.parametrize(("path", "code"), [("/6b0b6b0b6b0b6b0b6b0b6b0b", 404), ("/a%2Fb", 404), ("?limit=5", 400)])
def test_what_is_not_there_or_not_known_is_refused(client: TestClient, path: str, code: int) -> None:
    answer = client.get(f"/api/v1/why{path}")
    assert (answer.status_code, answer.json()["status"]) == (code, code)
    described = client.get("/openapi.json").json()["paths"]
    assert set(described["/api/v1/why/{name}"]["get"]["responses"]) >= {"200", "404"}
