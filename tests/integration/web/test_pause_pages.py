"""Pauses on the page of what may run: what it shows, whatever somebody has stored, and what its forms do."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient
from tests.integration.web.test_pages import SCRIPT
from tests.support.web import without_own

from taskscheduler import Scheduler


def field(client: TestClient, action: str) -> str:
    """The hidden field of a form of the page."""
    [value] = set(re.findall(rf'action="{action}"[^>]*>\s*<input type="hidden" name="csrf" value="([^"]+)"',
                             client.get("/control").text))  # fmt: skip
    return str(value)


def pause(client: TestClient, **given: str) -> int:
    form = {"csrf": field(client, "/control/pause"), "name": "", "reason": "", "until": "", **given}
    return client.post("/control/pause", data=form, follow_redirects=False).status_code


@pytest.mark.parametrize(
    ("kind", "name"), [("all", ""), ("queue", "mail"), ("job", "myapp.Mail"), ("tag", SCRIPT), ("tag", "a:b&c")]
)
def test_a_person_pauses_and_resumes(client: TestClient, scheduler: Scheduler, kind: str, name: str) -> None:
    assert "Nothing is paused" in client.get("/control").text
    assert pause(client, kind=kind, name=name, reason=f"{SCRIPT} is down", until="2h") == 303
    [made] = scheduler.pauses()
    assert (made.kind, made.name or "", made.reason) == (kind, name, f"{SCRIPT} is down")
    assert made.until is not None
    for path in ("/control", "/"):
        assert "<script" not in without_own(client.get(path).text)
        assert "is down" in client.get(path).text
    [key] = re.findall(r'name="key" value="([^"]+)"', client.get("/control").text)
    form = {"csrf": field(client, "/control/resume"), "key": html.unescape(key)}
    answer = client.post("/control/resume", data=form)
    assert (answer.status_code, "Nodes start its jobs again" in answer.text) == (200, True)
    assert scheduler.pauses() == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"kind": "everything"},
        {"kind": "queue"},
        {"kind": "all", "name": "mail"},
        {"kind": "queue", "name": "No Queue"},
        {"kind": "tag", "name": "x" * 101},
        {"kind": "all", "until": "soon"},
        {"kind": "all", "until": "0"},
        {"kind": "all", "reason": "x" * 501},
    ],
)
def test_what_cannot_be_paused_is_refused(client: TestClient, scheduler: Scheduler, given: dict[str, str]) -> None:
    assert pause(client, **given) == 400
    assert scheduler.pauses() == []


def test_a_form_must_come_from_the_page(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.pause(queue="mail")
    resume = {"key": "pause:queue:mail"}
    assert client.post("/control/pause", data={"kind": "all"}).status_code == 403
    of_another = {"kind": "all", "csrf": field(client, "/control/resume")}
    assert client.post("/control/pause", data=of_another).status_code == 403
    assert client.post("/control/resume", data=resume).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    form = {**resume, "csrf": field(client, "/control/resume")}
    assert client.post("/control/resume", data=form, headers=foreign).status_code == 403
    assert client.post("/control/resume", data={**form, "key": "limit:x"}).status_code == 400
    assert [one.key for one in scheduler.pauses()] == ["pause:queue:mail"]
