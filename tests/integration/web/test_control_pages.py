"""The page of limits and blocked sequences: what it shows, whatever the names, and what its forms do."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient
from tests.integration.web.test_pages import SCRIPT
from tests.integration.web.test_schedule_pages import confirmed
from tests.support.jobs import Fail, Noop

from taskscheduler import InvalidOptionError, Process, Scheduler
from taskscheduler.testing import InlineNode

NAMES = ["stripe", "a/../b?x=1&y=%2F#z", "..", SCRIPT, "🎉 ünï", "W" * 200, "tenant:*"]


def links(client: TestClient, part: str) -> list[str]:
    """The addresses on the page that begin so."""
    return [html.unescape(found) for found in re.findall(rf'href="({part}[^"]*)"', client.get("/control").text)]


def form_field(client: TestClient) -> str:
    """The hidden field of the form that sets a limit."""
    form = r'action="/control/limit"[^>]*>\s*<input type="hidden" name="csrf" value="([^"]+)"'
    [field] = re.findall(form, client.get("/control").text)
    return str(field)


def blocked(scheduler: Scheduler, name: str, error: str = "no") -> tuple[Process, Process]:
    """A job that has failed, and one that waits behind it."""
    failed = scheduler.add_job(Fail, error, sequence=name, sequence_on_failure="block")
    following = scheduler.add_job(Noop, sequence=name)
    with InlineNode(scheduler) as node:
        node.run_due()
    return failed, following


def test_an_empty_page_says_how_to_begin(client: TestClient) -> None:
    text = client.get("/control").text
    assert 'href="/control" aria-current="page"' in text
    assert "taskscheduler add NAME --limit stripe" in text
    assert "No sequence is blocked." in text


def test_a_limit_shows_who_holds_its_places(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.limits.set("stripe", concurrency=2)
    scheduler.limits.set("api", rate=100, per=60, burst=20)
    jobs = [scheduler.add_job("noop", limits="stripe") for _ in range(3)]
    scheduler.store.jobs.collection.update_one(
        {"_id": jobs[1].id}, [{"$set": {"status": 2, "started": "$$NOW", "node": "web-1"}}]
    )
    text = client.get("/control").text
    assert re.findall(r'href="/jobs/([0-9a-f]{24})"', text) == [str(jobs[1].id), str(jobs[0].id)]
    assert '<svg class="bar full" aria-hidden="true"><rect width="100%"' in text
    assert "<b>2</b> of 2" in text
    assert " on web-1" in text
    assert "100 per 1m, 20 at once" in text
    [waiting] = links(client, r"/jobs\?q=")
    found = client.get(waiting).text
    assert re.findall(r'href="/jobs/([0-9a-f]{24})"', found) == [str(jobs[2].id)]
    assert "waits for a place of limit stripe" in found
    text = client.get(f"/jobs/{jobs[2].id}").text
    assert "<dt>Now</dt><dd>waits for a place of limit stripe</dd>" in text
    assert "<dt>Limits</dt><dd>stripe</dd>" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_person_sets_changes_and_deletes_a_limit(client: TestClient, scheduler: Scheduler, name: str) -> None:
    given = {"csrf": form_field(client), "name": name, "concurrency": "3", "rate": "0.5", "per": "1m", "burst": ""}
    answer = client.post("/control/limit", data=given)
    assert "The limit is set." in answer.text
    assert "<script" not in answer.text
    [use] = scheduler.limits.all()
    assert (use.name, use.limit.concurrency, use.limit.rate, use.limit.per) == (name, 3, 0.5, 60)
    [change] = links(client, r"/control\?name=")
    shown = re.findall(r'<input name="\w+" value="([^"]*)"', client.get(change).text)
    assert list(map(html.unescape, shown)) == [name, "3", "0.5", "60s", "1"]
    [delete] = links(client, "/control/limit/delete")
    assert confirmed(client, delete, name=name) == 303
    assert scheduler.limits.all() == []
    assert confirmed(client, delete, name=name) == 409


WRONG = [
    ({"name": "x"}, "give concurrency, rate or both"),
    ({"name": "", "concurrency": "1"}, "option name must be a text"),
    ({"name": "x", "concurrency": "many"}, "concurrency must be a number"),
    ({"name": "x", "rate": "inf"}, "option rate must be a number"),
    ({"name": "x", "rate": "1", "per": "soon"}, "1h30m"),
    ({"name": "x", "concurrency": "1", "burst": "2"}, "give rate, too"),
]


def test_a_wrong_value_is_refused(client: TestClient, scheduler: Scheduler) -> None:
    field = form_field(client)
    for given, text in WRONG:
        answer = client.post("/control/limit", data={"csrf": field, **given})
        assert (answer.status_code, text in html.unescape(answer.text)) == (400, True), answer.text
    assert scheduler.limits.all() == []


def test_a_form_must_come_from_its_page(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.limits.set("one", concurrency=1)
    scheduler.limits.set("two", concurrency=1)
    [of_one] = re.findall(r'name="csrf" value="([^"]+)"', client.get("/control/limit/delete?name=one").text)
    for path, form in (
        ("/control/limit", {"name": "one", "concurrency": "5"}),
        ("/control/limit", {"name": "one", "concurrency": "5", "csrf": of_one}),
        ("/control/limit/delete", {"name": "one"}),
        ("/control/limit/delete", {"name": "two", "csrf": of_one}),
        ("/control/sequence/release", {"name": "one", "csrf": of_one}),
    ):
        assert client.post(path, data=form).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    form = {"name": "one", "csrf": of_one}
    assert client.post("/control/limit/delete", data=form, headers=foreign).status_code == 403
    assert [(use.name, use.limit.concurrency) for use in scheduler.limits.all()] == [("one", 1), ("two", 1)]
    for path in ("/control/limit/explode?name=x", "/control/group/delete?name=x"):
        assert client.get(path).status_code == 404
    assert client.get("/control/limit/delete").status_code == 400


@pytest.mark.parametrize("name", ["account-42", SCRIPT])
def test_a_person_releases_a_sequence(client: TestClient, scheduler: Scheduler, name: str) -> None:
    failed, following = blocked(scheduler, name, SCRIPT)
    text = client.get("/control").text
    assert "<script" not in text
    assert f'href="/jobs/{failed.id}/retry"' in text
    assert html.escape(f"ValueError: {SCRIPT}", quote=False) in text.replace("&#34;", '"').replace("&#39;", "'")
    [waiting] = links(client, r"/jobs\?q=")
    assert re.findall(r'href="/jobs/([0-9a-f]{24})"', client.get(waiting).text) == [str(following.id)]
    assert "<dt>Now</dt><dd>blocks sequence " in client.get(f"/jobs/{failed.id}").text
    [release] = links(client, "/control/sequence/release")
    assert confirmed(client, release, name=name) == 303
    assert following.refresh().status.label == "waiting"
    assert "The sequence goes on." in client.get("/control?done=release").text
    assert confirmed(client, release, name=name) == 409


def test_a_retry_of_the_failed_job_releases_its_sequence(client: TestClient, scheduler: Scheduler) -> None:
    failed, _ = blocked(scheduler, "account-42")
    [retry] = links(client, f"/jobs/{failed.id}/retry")
    assert confirmed(client, retry) == 303
    assert "No sequence is blocked." in client.get("/control").text


def test_the_page_needs_neither_scripts_nor_styles_of_its_own(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.limits.set("tenant:*", concurrency=2)
    scheduler.add_jobs([("noop", None, {"limits": "tenant:a"})] * 9)
    blocked(scheduler, "account-42")
    for path in ("/control", "/control/limit/delete?name=x"):
        text = client.get(path).text
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", text)
        assert len(re.findall("<h1", text)) == 1
        assert all("data-label=" in cell for cell in re.findall("<td[^>]*>", text))
    with pytest.raises(InvalidOptionError):
        scheduler.limits.set("", concurrency=1)
