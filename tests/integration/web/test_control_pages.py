"""The page of limits, groups and blocked sequences: what it shows, whatever the names, and what its forms do."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient
from tests.integration.web.test_pages import SCRIPT
from tests.integration.web.test_schedule_pages import confirmed
from tests.support.jobs import Fail, Noop
from tests.support.web import without_own

from taskscheduler import InvalidOptionError, Process, Scheduler
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.pages.control.page import SHOWN

NAMES = ["stripe", "a/../b?x=1&y=%2F#z", "..", SCRIPT, "🎉 ünï", "W" * 200, "tenant:*"]


def links(client: TestClient, part: str) -> list[str]:
    """The addresses on the page that begin so."""
    return [html.unescape(found) for found in re.findall(rf'href="({part}[^"]*)"', client.get("/control").text)]


def form_field(client: TestClient, of: str = "limit") -> str:
    """The hidden field of the form that sets a limit, or the weight of a group."""
    form = rf'action="/control/{of}"[^>]*>\s*<input type="hidden" name="csrf" value="([^"]+)"'
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
    assert "<script" not in without_own(answer.text)
    [use] = scheduler.limits.all()
    assert (use.name, use.limit.concurrency, use.limit.rate, use.limit.per) == (name, 3, 0.5, 60)
    [change] = links(client, r"/control\?name=")
    shown = re.findall(r'<input name="\w+" value="([^"]*)"', client.get(change).text)
    assert list(map(html.unescape, shown[:5])) == [name, "3", "0.5", "60s", "1"]
    [delete] = links(client, "/control/limit/delete")
    assert confirmed(client, delete, name=name) == 303
    assert scheduler.limits.all() == []
    assert confirmed(client, delete, name=name) == 409


def test_a_group_shows_its_weight_and_its_waiting_jobs(client: TestClient, scheduler: Scheduler) -> None:
    assert "taskscheduler add NAME --group customer-7" in client.get("/control").text
    scheduler.groups.set("large", weight=3)
    jobs = scheduler.add_jobs([("noop", None, {"group": "small"})] * 2)
    text = client.get("/control").text
    assert re.findall(r'data-label="Weight" class="number">([^<]*)<', text) == ["3", "1"]
    assert len(links(client, "/control/group/reset")) == 1, "the other one has none"
    [waiting] = links(client, r"/jobs\?q=")
    found = client.get(waiting).text
    assert set(re.findall(r'href="/jobs/([0-9a-f]{24})"', found)) == {str(job.id) for job in jobs}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tenant:*"])
def test_a_person_sets_changes_and_resets_a_weight(client: TestClient, scheduler: Scheduler, name: str) -> None:
    given = {"csrf": form_field(client, "group"), "name": name, "weight": "2.5"}
    answer = client.post("/control/group", data=given)
    assert "The weight is set." in answer.text
    assert "<script" not in without_own(answer.text)
    assert [(use.name, use.weight) for use in scheduler.groups.all()] == [(name, 2.5)]
    [change] = links(client, r"/control\?group=")
    shown = re.findall(r'<input name="\w+" value="([^"]*)"', client.get(change).text)
    assert list(map(html.unescape, shown[5:])) == [name, "2.5"]
    [reset] = links(client, "/control/group/reset")
    assert confirmed(client, reset, name=name) == 303
    assert scheduler.groups.all() == []
    assert confirmed(client, reset, name=name) == 409


def test_of_many_groups_some_are_shown(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"group": f"g{number}"}) for number in range(SHOWN + 1)])
    scheduler.groups.set("last", weight=2)
    text = client.get("/control").text
    assert text.count("Change the weight of") == SHOWN + 1
    assert "There may be more groups" in text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "x", "weight": "many"}, 'weight must be a number, not "many"'),
        ({"name": "x"}, "weight must be a number"),
        ({"name": "x", "weight": "nan"}, "option weight must be a number from 0.01 to 1000"),
        ({"name": "a*", "weight": "1"}, "a star stands for many names"),
    ],
)
def test_a_wrong_weight_is_refused(client: TestClient, scheduler: Scheduler, given: dict[str, str], text: str) -> None:
    answer = client.post("/control/group", data={"csrf": form_field(client, "group"), **given})
    assert (answer.status_code, text in html.unescape(answer.text)) == (400, True), answer.text
    assert scheduler.groups.all() == []


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
        ("/control/group", {"name": "one", "weight": "5", "csrf": form_field(client)}),
        ("/control/group/reset", {"name": "one", "csrf": of_one}),
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
    assert "<script" not in without_own(text)
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
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", without_own(text))
        assert len(re.findall("<h1", text)) == 1
        assert all("data-label=" in cell for cell in re.findall("<td[^>]*>", text))
    with pytest.raises(InvalidOptionError):
        scheduler.limits.set("", concurrency=1)
