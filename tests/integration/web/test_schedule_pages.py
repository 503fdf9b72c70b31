"""The pages of schedules: what they show, whatever somebody has stored, and what they do after a question."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import bson
import pytest
from bson import Code, ObjectId
from bson.raw_bson import RawBSONDocument
from starlette.testclient import TestClient
from tests.integration.web.test_pages import SCRIPT
from tests.support.odd_schedules import ODD
from tests.support.web import without_own

from taskscheduler import ScheduleNotFoundError, Scheduler, Status
from taskscheduler.model.schedules import scheduled_run
from taskscheduler_daemon.web.pages.schedules import routes

NAMES = ["nightly", "a/../b?x=1&y=%2F#z", "..", SCRIPT, "🎉 ünï", "W" * 200]


def stored(scheduler: Scheduler, name: str) -> dict[str, Any]:
    found = scheduler.store.schedules.get(name)
    assert found is not None
    return found


def links(client: TestClient, action: str = "", path: str = "/schedules") -> list[str]:
    """The addresses of all schedules on a page, or those of an action on them."""
    part = f"/schedule/{action}" if action else "/schedule"
    return [html.unescape(found) for found in re.findall(rf'href="({part}\?[^"]+)"', client.get(path).text)]


def confirmed(client: TestClient, path: str, **more: str) -> int:
    """The code of the answer to an action that was confirmed."""
    form = client.get(path).text
    [field] = re.findall(r'name="csrf" value="([^"]+)"', form)
    [target] = re.findall(r'<form method="post" action="([^"]+)"', form)
    return client.post(html.unescape(target), data={"csrf": field, **more}, follow_redirects=False).status_code


def test_without_schedules_the_page_says_how_to_add_one(client: TestClient) -> None:
    text = client.get("/schedules").text
    assert "taskscheduler schedule add NAME JOB" in text
    assert 'href="/schedules" aria-current="page"' in text
    assert "No such schedules" in client.get("/schedules?name=x").text
    assert client.get("/schedules?state=odd").status_code == 400
    for path in ("/schedule?name=x", "/schedule", "/schedule?id={", "/schedule/pause?name=x"):
        assert client.get(path).status_code == 404
    assert "There is no schedule x" in client.get("/schedule?name=x").text


def test_a_schedule_shows_words_times_and_runs(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("nightly", "noop", {"kind": "full"}, cron="30 2 * * mon-fri", timezone="Europe/Zurich")
    now, known = scheduler.store.clock.now(), stored(scheduler, "nightly")
    times = [now - timedelta(hours=hours) for hours in range(30, 0, -1)]
    runs = [scheduled_run("nightly", known["job"], time, time, time) for time in times]
    runs[-1]["status"], runs[-2]["status"] = int(Status.FAILED), int(Status.DONE)
    scheduler.store.jobs.collection.insert_many(runs)
    skipped = [now - timedelta(minutes=90)]
    scheduler.store.schedules.change(known, {"skipped": 1, "skipped_times": skipped, "runs_made": 30})
    by_hand = scheduler.schedules.run("nightly")
    for path in ("/schedules", "/schedule?name=nightly"):
        text = client.get(path).text
        assert "At 02:30 on Monday through Friday, Europe/Zurich" in text
        [strip] = re.findall(r'<ol class="strip".*?</ol>', text, re.DOTALL)
        assert re.findall(r'href="/jobs/([0-9a-f]{24})"', strip) == [
            str(run["_id"]) for run in [*runs[-18:], by_hand.to_dict()]
        ]
        assert re.findall(r'class="(\w+)"', strip)[-4:] == ["done", "skipped", "failed", "waiting"]
        assert len(set(re.findall(r'<time datetime="([^"]+)"', text))) == 5
        assert "30 runs added, 1 skipped" in text
    found = client.get("/jobs?schedule=nightly&status=failed").text
    assert re.findall(r'href="/jobs/([0-9a-f]{24})"', found) == [str(runs[-1]["_id"])]


def test_a_run_leads_to_its_schedule(client: TestClient, scheduler: Scheduler) -> None:
    for name in NAMES:
        scheduler.schedules.add(name, "noop", every=3600)
        text = client.get(f"/jobs/{scheduler.schedules.run(name).id}").text
        [link] = re.findall(r'<dt>Schedule</dt><dd><a href="([^"]+)"', text)
        assert "<dt>Scheduled for</dt>" in text
        assert f"<h1>{html.escape(name, quote=False).replace(chr(34), '&#34;').replace(chr(39), '&#39;')}</h1>" in (
            client.get(html.unescape(link)).text
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_person_runs_pauses_resumes_and_deletes_a_schedule(
    client: TestClient, scheduler: Scheduler, name: str
) -> None:
    scheduler.schedules.add(name, "noop", every=3600)
    [run], [pause], [delete] = (links(client, action) for action in ("run", "pause", "delete"))
    assert confirmed(client, run) == 303
    assert [job.schedule for job in scheduler.get_jobs({"schedule": name})] == [name]
    assert confirmed(client, pause, reason=f"{SCRIPT} is down") == 303
    known = scheduler.schedules.get(name)
    assert (known.paused, known.reason) == (True, f"{SCRIPT} is down")
    assert "<script" not in without_own(client.get("/schedules").text)
    [resume] = links(client, "resume")
    assert confirmed(client, resume) == 303
    assert not scheduler.schedules.get(name).paused
    assert confirmed(client, delete) == 303
    with pytest.raises(ScheduleNotFoundError):
        scheduler.schedules.get(name)


def test_an_action_needs_a_form_of_this_page(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("one", "noop", every=3600)
    scheduler.schedules.add("two", "noop", every=3600)
    [field] = re.findall(r'name="csrf" value="([^"]+)"', client.get("/schedule/pause?name=one").text)
    for path, form in (
        ("/schedule/pause?name=one", {}),
        ("/schedule/pause?name=one", {"csrf": "x"}),
        ("/schedule/pause?name=two", {"csrf": field}),
        ("/schedule/delete?name=one", {"csrf": field}),
    ):
        assert client.post(path, data=form).status_code == 403
    assert [one.paused for one in scheduler.schedules.all()] == [False, False]
    foreign = {"Origin": "https://evil.example"}
    assert client.post("/schedule/pause?name=one", data={"csrf": field}, headers=foreign).status_code == 403
    answer = client.post("/schedule/pause?name=one", data={"csrf": field, "reason": "x" * 501})
    assert (answer.status_code, "at most 500 characters" in answer.text) == (400, True)
    assert client.post("/schedule/explode?name=one", data={"csrf": field}).status_code == 404


def test_a_schedule_of_the_code_can_be_paused_but_not_deleted(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("declared", "noop", every=3600)
    scheduler.store.schedules.change(stored(scheduler, "declared"), {"owner": "code"})
    assert links(client, "delete") == []
    assert "It belongs to the code" in client.get("/schedule/delete?name=declared").text
    assert confirmed(client, links(client, "pause")[0]) == 303
    text = client.get("/schedule/pause?name=declared").text
    assert "You cannot pause it. It is paused already." in text


def test_an_action_that_has_become_impossible_is_refused(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("one", "noop", every=3600)
    fields = {
        action: re.findall(r'name="csrf" value="([^"]+)"', client.get(f"/schedule/{action}?name=one").text)[0]
        for action in ("pause", "delete")
    }
    scheduler.schedules.pause("one", "first")
    scheduler.store.schedules.change(stored(scheduler, "one"), {"owner": "code"})
    for action, field in fields.items():
        assert client.post(f"/schedule/{action}?name=one", data={"csrf": field}).status_code == 409
    assert scheduler.schedules.get("one").reason == "first"


def test_odd_schedules_cost_only_their_rows_and_can_be_deleted(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("good", "noop", every=3600)
    model, collection = stored(scheduler, "good"), scheduler.store.schedules.collection
    for field, values in ODD.items():
        for number, value in enumerate(values):
            odd = {**model, "_id": f"odd {field} {number}", field: value}
            collection.insert_one({name: value for name, value in odd.items() if value is not None})
    collection.insert_many([{**model, "_id": one} for one in (None, True, "", "\u202e\x1b[31m", Code("x"))])
    collection.insert_one({"_id": "x" * 5000})
    for odd in ({"_id": "caf#"}, {**model, "_id": "latin", "reason": "caf#", "paused": True}):
        collection.insert_one(RawBSONDocument(bson.encode(odd).replace(b"caf#", b"caf\xe9")))
    count, seen, path = collection.count_documents({}), [], "/schedules"
    while path:
        text = client.get(path).text
        seen += re.findall(r'<th scope="row">.*?class="name clamped"', text)
        more = re.search(r'href="([^"]+)" rel="next"', text)
        path = html.unescape(more[1]) if more else ""
    assert len(seen) == count
    assert "Its name does not fit into an address" in client.get("/schedules?name=xxx").text
    for address in links(client) + links(client, path="/schedules?name=odd"):
        assert client.get(address).status_code == 200
    for _ in range(5):
        for address in links(client, "delete"):
            assert confirmed(client, address) == 303
    assert [len(one["_id"]) for one in collection.find({})] == [5000]  # it does not fit into an address


def test_the_list_is_filtered_and_paged_without_a_gap(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PAGE", 3)
    names = [f"{letter}-{number}" for letter in "ab" for number in range(4)]
    for name in names:
        scheduler.schedules.add(name, "noop", every=3600)
    scheduler.schedules.pause("b-2")

    def seen(path: str) -> list[str]:
        found: list[str] = []
        while path:
            text = client.get(path).text
            found += re.findall(r'class="name clamped" href="[^"]+">([^<]+)<', text)
            more = re.search(r'href="([^"]+)" rel="next"', text)
            path = html.unescape(more[1]) if more else ""
        return found

    assert seen("/schedules") == names
    assert seen("/schedules?name=b-") == names[4:]
    assert seen("/schedules?state=paused") == ["b-2"]
    assert "1 schedule is paused" in client.get("/schedules").text


def test_the_pages_of_schedules_need_neither_scripts_nor_styles_of_their_own(
    client: TestClient, scheduler: Scheduler
) -> None:
    scheduler.schedules.add("nightly", "noop", every=3600)
    scheduler.schedules.run("nightly")
    for path in ("/schedules", "/schedule?name=nightly", "/schedule/pause?name=nightly"):
        text = client.get(path).text
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", without_own(text))
        assert len(re.findall("<h1", text)) == 1
        assert all("data-label=" in cell for cell in re.findall("<td[^>]*>", text))


def test_the_runs_of_a_schedule_are_found_by_an_index_that_only_they_enter(scheduler: Scheduler) -> None:
    scheduler.schedules.add("nightly", "noop", every=3600)
    jobs = scheduler.store.jobs.collection
    scheduler.add_jobs([("noop",)] * 10)
    scheduler.schedules.run("nightly")
    jobs.insert_one({**jobs.find({"schedule": "nightly"})[0], "_id": ObjectId(), "schedule": "other"})
    plan = jobs.find({"schedule": "nightly"}).sort("_id", -1).explain()["executionStats"]
    assert (plan["totalKeysExamined"], plan["totalDocsExamined"]) == (1, 1)
    assert jobs.index_information()["schedule"]["partialFilterExpression"] == {"schedule": {"$exists": True}}


def test_the_runs_of_all_schedules_on_a_page_are_one_question(client: TestClient, scheduler: Scheduler) -> None:
    for number in range(5):
        scheduler.schedules.add(f"s{number}", "noop", every=3600)
    runs = {name: scheduler.schedules.run(name).id_text for name in ("s1", "s3")}
    database = scheduler.store.database
    database.command("profile", 2)
    text = client.get("/schedules").text
    database.command("profile", 0)
    jobs = {"ns": f"{database.name}.taskscheduler.jobs", "op": {"$in": ["query", "command"]}}
    assert database["system.profile"].count_documents(jobs) == 1
    for number, job in ((1, runs["s1"]), (3, runs["s3"])):
        row, next_row = (text.index(f"schedule?name=s{one}") for one in (number, number + 1))
        assert row < text.index(job) < next_row
