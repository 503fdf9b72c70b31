"""The pages: what they show, escape and shorten, and what they do after a question."""

from __future__ import annotations

import re

import pytest
from bson import ObjectId
from starlette.testclient import TestClient
from tests.support.hostile import nested
from tests.support.web import ended, visit, without_own

from taskscheduler import Scheduler, Status
from taskscheduler.model.payload import DEEPEST
from taskscheduler.operations.rescue import rescue
from taskscheduler_daemon.web.pages.jobs import routes

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def hostile(scheduler: Scheduler) -> ObjectId:
    """A failed job every text of which is markup, huge or binary."""
    error = {"type": SCRIPT, "message": SCRIPT * 200, "traceback": (SCRIPT + "\n") * 200, "signal": SCRIPT}
    data = {
        SCRIPT: SCRIPT,
        "long": "x" * 900_000,
        "binary": b"\x00\xff" * 50_000,
        "many": list(range(5000)),
        "esc": "\x1b[31m\u202e",
        "\u202ekey": 1,
    }
    fields = {"error": error, "message": SCRIPT, "class": SCRIPT, "node": SCRIPT, "worker": SCRIPT, "progress": 40.0}
    return ended(scheduler, Status.FAILED, data=data, attempts=[{"attempt": 0, "status": 4, "error": error}], **fields)


def test_what_jobs_say_is_escaped_and_shortened(client: TestClient, scheduler: Scheduler) -> None:
    job_id = hostile(scheduler)
    nodes = scheduler.store.database["taskscheduler.nodes"]
    nodes.update_one(
        {"_id": ObjectId()}, [{"$set": {"name": SCRIPT, "pm": SCRIPT, "host": SCRIPT, "alive": "$$NOW"}}], upsert=True
    )
    paths = ["/", "/jobs", f"/jobs/{job_id}", *(f"/jobs/{job_id}/{name}" for name in ("retry", "delete", "cancel"))]
    for path in paths:
        text = client.get(path).text
        assert "<script" not in without_own(text)
        assert "<img" not in text
        assert "\x1b" not in text
        assert len(text) < 60_000
    text = client.get(f"/jobs/{job_id}").text
    assert "&lt;script&gt;" in text
    assert "899000 more characters" in text
    assert "100000 bytes: 00 ff" in text
    assert "&#34;\\u202ekey&#34;" in text
    for name in ("status", "job", "queue", "tag", "before", "said"):
        assert "<script" not in without_own(client.get("/jobs", params={name: SCRIPT}).text)


def test_the_overview_names_versions_and_what_no_node_knows(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "jobs": ["noop"], "version": "1.4.2"})
    scheduler.add_job("noop")
    assert "knows the job" not in client.get("/").text
    scheduler.add_job(SCRIPT)
    text = client.get("/").text
    assert "No node that serves the queue default knows the job &lt;script&gt;" in text
    assert '<td data-label="Version">1.4.2</td>' in text


def test_jobs_are_found_by_a_tag(client: TestClient, scheduler: Scheduler) -> None:
    one, two = (scheduler.add_job("noop", tags=tags).id for tags in (["red", SCRIPT], ["blue"]))
    found = client.get("/jobs", params={"tag": "red"}).text
    assert (str(one) in found, str(two) in found) == (True, False)
    text = client.get(f"/jobs/{one}").text
    assert "red, &lt;script&gt;" in text
    assert "<script" not in without_own(text)


def test_the_pages_need_neither_scripts_nor_styles_of_their_own(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    for path in ("/", "/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/cancel"):
        text = client.get(path).text
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", without_own(text))
        assert len(re.findall("<h1", text)) == 1
        wide = re.findall(r'<div class="wide"[^>]*>', text)  # scrolls to the side, also by the keys
        assert all('tabindex="0" role="region" aria-label=' in region for region in wide)
        assert all("data-label=" in cell for cell in re.findall("<td[^>]*>", text))  # where a row is no line but a card
    assert client.get("/static/style.css").headers["content-type"].startswith("text/css")


def test_a_long_name_breaks_at_its_dots(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("billing.<b>.Send").id
    for path in ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/cancel"):
        assert "billing.<wbr>&lt;b&gt;.<wbr>Send" in client.get(path).text


def test_deep_data_are_shown(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop", nested(DEEPEST - 1)).id
    assert client.get(f"/jobs/{job_id}").status_code == 200
    assert client.get(f"/task/{job_id}").status_code == 200


def test_the_overview_has_counts_queues_and_nodes(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"queue": "mail"})] * 3)
    text = client.get("/").text
    assert re.search(r"waiting</span><b>3</b>oldest", text)
    assert "no node is up" in text
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "queues": ["mail"], "lease": 30})
    lost = ObjectId()
    scheduler.store.nodes.register(lost, {"name": "web-2"})
    scheduler.store.nodes.declare_lost(lost, 0)
    text = client.get("/").text
    assert re.search(r"web-2.*status lost.*web-1.*status up", text, re.DOTALL)
    assert '<td data-label="Served"><span class="quiet">yes</span></td>' in text
    assert "no node is up" not in text


def test_the_list_is_filtered_and_paged_without_a_gap(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PAGE", 3)
    ids = [str(job.id) for job in scheduler.add_jobs([("noop", None, {"queue": "a b".replace(" ", "-")})] * 8)]
    scheduler.add_job("echo")
    seen: list[str] = []
    path = "/jobs?job=noop&status=live&queue=a-b"
    while path:
        text = client.get(path).text
        seen += re.findall(r'href="/jobs/([0-9a-f]{24})"', text)
        older = re.search(r'href="([^"]+)" rel="next"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == sorted(ids, reverse=True)
    assert "No such jobs" in client.get("/jobs?status=done").text
    assert "No such jobs" in client.get("/jobs?queue=nix").text
    assert client.get("/jobs?status=foo").status_code == 400
    assert client.get("/jobs?before=foo").status_code == 400


def test_a_search_without_an_index_ends_and_can_go_on(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PAGE", 2)
    monkeypatch.setattr(routes, "MOST_SEARCHED", 5)
    wanted = {3, 4, 5, 6, 13}  # of 18: 13 is the edge, then there is none, then a full page
    jobs = [("noop", None, {"queue": "mail" if number in wanted else "default"}) for number in range(18)]
    ids = [str(job.id) for job in scheduler.add_jobs(jobs)]
    path, seen, empty = "/jobs?queue=mail", [], 0
    while path:
        text = client.get(path).text
        seen += re.findall(r'href="/jobs/([0-9a-f]{24})"', text)
        empty += "No matches so far. 5 jobs were searched" in text
        older = re.search(r'href="([^"]+)" rel="next"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == [ids[number] for number in sorted(wanted, reverse=True)]
    assert empty == 1


def test_one_job_shows_its_data_result_and_progress(client: TestClient, scheduler: Scheduler) -> None:
    job_id = ended(scheduler, Status.DONE, data={"to": "ana"}, result={"sent": 7}, progress=100.0, message="all sent")
    text = client.get(f"/jobs/{job_id}").text
    for expected in (
        "&#34;ana&#34;",
        "&#34;sent&#34;: 7",
        "all sent",
        '<progress max="100" value="100.0"',
        ">Attempt<",
    ):
        assert expected in text
    assert client.get("/jobs/5f0000000000000000000000").status_code == 404
    assert client.get("/jobs/foo").status_code == 404


def confirmed(client: TestClient, job_id: ObjectId, name: str) -> dict[str, str]:
    """The fields of the form that asks whether it is meant."""
    text = client.get(f"/jobs/{job_id}/{name}").text
    return dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', text))


def test_jobs_are_cancelled_retried_and_deleted_after_a_question(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    for name, status in (("cancel", Status.CANCELED), ("retry", Status.WAITING), ("delete", None)):
        answer = client.post(f"/jobs/{job_id}/{name}", data=confirmed(client, job_id, name), follow_redirects=False)
        assert answer.status_code == 303
        assert 'role="status"' in client.get(answer.headers["location"]).text
        left = [job.status for job in scheduler.get_jobs({"_id": job_id})]
        assert left == ([status] if status is not None else [])


def test_a_question_alone_changes_nothing(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    for name in ("cancel", "retry", "delete"):
        client.get(f"/jobs/{job_id}/{name}")
    assert scheduler.get_job(job_id).status is Status.WAITING
    assert client.get(f"/jobs/{job_id}/foo").status_code == 404


def test_a_form_of_another_page_is_refused(client: TestClient, scheduler: Scheduler) -> None:
    job_id, other = scheduler.add_job("noop").id, scheduler.add_job("noop").id
    path, good = f"/jobs/{job_id}/cancel", confirmed(client, job_id, "cancel")
    for fields in (
        {},
        {"csrf": ""},
        {"csrf": "é"},
        confirmed(client, other, "cancel"),
        confirmed(client, job_id, "delete"),
    ):
        assert client.post(path, data=fields).status_code == 403
    assert client.post(path, data=good, headers={"Origin": "http://evil.example"}).status_code == 403
    with visit(scheduler, cookies={"taskscheduler_csrf": "chosen-by-somebody"}) as stranger:
        assert stranger.post(path, data=good).status_code == 403
    with visit(scheduler) as without_cookie:
        assert without_cookie.post(path, data=good).status_code == 403
    assert client.post(path, content=b"csrf=" + b"x" * 20_000).status_code == 413
    assert scheduler.get_job(job_id).status is Status.WAITING
    assert client.post(path, data=good, follow_redirects=False).status_code == 303


def test_what_is_too_late_is_said(client: TestClient, scheduler: Scheduler) -> None:
    job_id = scheduler.add_job("noop").id
    form = confirmed(client, job_id, "cancel")
    scheduler.cancel_job(job_id)
    assert client.post(f"/jobs/{job_id}/cancel", data=form).status_code == 409


def test_a_lost_attempt_is_shown_as_such(client: TestClient, scheduler: Scheduler) -> None:
    job_id, boot = scheduler.add_job("noop").id, ObjectId()
    scheduler.store.claims.claim([job_id], "claim", boot, "web-1")
    rescue(scheduler.store, boot, "web-1", max_lost=3)
    answer = client.get(f"/jobs/{job_id}")
    assert answer.status_code == 200
    assert "</span> lost</span>" in answer.text
