"""The pages that people watch: failures, nodes, metrics, the words of the filter bar, and the live stream."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bson import ObjectId
from starlette.testclient import TestClient
from tests.integration.test_metrics import portion
from tests.support.web import ended, without_own

from taskscheduler import Scheduler, Status
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Series

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

CODE = re.compile("<script|<img")


def test_failures_of_one_mistake_are_one_row(client: TestClient, scheduler: Scheduler) -> None:
    assert "No job has failed" in client.get("/failures").text
    error = {"type": SCRIPT, "message": SCRIPT, "place": "mail.py:42 in Mail.start"}
    for _ in range(3):
        ended(scheduler, Status.FAILED, fingerprint="a1b2c3d4e5f6", error=error)
    last = ended(scheduler, Status.TIMEOUT, fingerprint="b1b2c3d4e5f6", error={"type": "TimeoutError"})
    text = client.get("/failures").text
    assert re.findall(r'data-label="Jobs" class="number"><b>(\d+)</b>', text) == ["3", "1"]
    assert "4 jobs by 2 mistakes" in text
    assert "mail.py:42 in Mail.start" in text
    assert f'href="/jobs/{last}"' in text
    assert not CODE.search(without_own(text))
    found = client.get("/jobs?q=fingerprint:a1b2c3d4e5f6").text
    assert len(re.findall(r'<a class="name" href="/jobs/[0-9a-f]{24}"', found)) == 3
    assert "No job has failed" in client.get("/failures?job=other").text
    for query in ("since=soon", "since=-1h", "since=1e99d", f"job={'x' * 501}"):
        assert client.get(f"/failures?{query}").status_code == 400, query
    assert client.get("/failures", params={"job": SCRIPT}).status_code == 200


def test_nodes_are_shown_with_their_workers(client: TestClient, scheduler: Scheduler) -> None:
    assert "No node has run within a day" in client.get("/nodes").text
    boot, worker = ObjectId(), str(ObjectId())
    facts = {"name": SCRIPT, "lease": 30, "slots": 2, "version": "1.4.2", "jobs": ["noop"]}
    workers = [{"id": worker, "pid": 4711, "job": None}, {"id": str(ObjectId()), "pid": 4712, "job": None}]
    scheduler.store.nodes.register(boot, {**facts, "workers": workers})
    job = scheduler.add_job("noop")
    scheduler.store.claims.claim([job.id], "claim", boot, "web-1")
    scheduler.store.jobs.collection.update_one({"_id": job.id}, [{"$set": {"worker": worker, "started": "$$NOW"}}])
    lost = ObjectId()
    scheduler.store.nodes.register(lost, {"name": "web-2", "workers": "odd", "jobs": 5, "slots": "many"})
    scheduler.store.nodes.declare_lost(lost, 0)
    text = client.get("/nodes").text
    assert re.search(rf'pid 4711</th><td data-label="Job"><a class="name" href="/jobs/{job.id}">noop</a>', text)
    assert "idle" in text
    assert "1 of 2 busy" in text
    assert re.search(r'status lost"><span aria-hidden="true">✗</span> lost', text)
    assert not CODE.search(without_own(text))


def test_metrics_are_drawn_and_listed(client: TestClient, scheduler: Scheduler) -> None:
    assert client.get("/history").text.count("Nothing was counted in this time.") == 5
    mail, odd, now = Series("Mail", "mail"), Series(SCRIPT, SCRIPT), datetime.now(UTC)
    scheduler.store.metrics.add(ObjectId(), portion(now, 1, mail, mail, odd))
    scheduler.store.metrics.add(ObjectId(), portion(now, 1, mail, ending=Ending.FAILED))
    for path in ("/history?since=1h", "/"):
        scheduler.add_job("noop")
        text = client.get(path).text
        assert "3 done" in text
        assert "1 failed" in text
        assert re.search(r'<a class="name" href="/history\?job=Mail&amp;since=1h">Mail</a>', text)
        assert not CODE.search(without_own(text))
    text = client.get("/history", params={"since": "24h", "job": "Mail"}).text
    assert "2 done, 0 canceled, 1 failed" in text
    strange = client.get("/history", params={"job": SCRIPT, "queue": SCRIPT})
    assert (strange.status_code, CODE.search(without_own(strange.text))) == (400, None)
    for path in ("/history?since=1y", "/?range=x", f"/history?job={'x' * 501}"):
        assert client.get(path).status_code == 400


def test_the_filter_bar_knows_keys_and_values(client: TestClient, scheduler: Scheduler) -> None:
    facts = {"name": "web-1", "jobs": ["noop", SCRIPT, "\x1b[31m"], "queues": ["mail"]}
    scheduler.store.nodes.register(ObjectId(), facts)
    scheduler.add_job("noop", queue="files")
    words = client.get("/jobs/words").json()
    assert {name for name, _ in words["keys"]} >= {"status", "class", "queue", "data.", "error"}
    assert words["values"]["class"] == [SCRIPT, "noop"]
    assert words["values"]["queue"] == ["files", "mail"]
    assert "failed" in words["values"]["status"]


def test_files_of_the_pages_are_kept_by_version_only(client: TestClient) -> None:
    address = re.findall(r'href="(/static/style.css[^"]*)"', client.get("/").text)[0]
    kept = client.get(address)
    assert "immutable" in kept.headers["cache-control"]
    assert kept.headers["content-type"].startswith("text/css")
    assert "immutable" not in client.get("/static/style.css?v=other").headers["cache-control"]
    for path in ("/static/", "/static/x.css", "/static/../app.py", "/static/..%2f__init__.py", "/static/__init__.py"):
        assert client.get(path).status_code == 404, path
    assert "Disallow: /" in client.get("/robots.txt").text


def test_the_audit_log_says_who_did_what_and_why(client: TestClient, scheduler: Scheduler) -> None:
    assert "Nobody has done anything yet" in client.get("/audit").text
    job = scheduler.add_job("noop")
    with scheduler.audit.acting(SCRIPT, SCRIPT):
        scheduler.cancel_job(job.id)
    with scheduler.audit.acting("ana", "SMTP is down"):
        scheduler.pause(queue="mail")
    text = client.get("/audit").text
    assert re.search(r"ana.*pause.*SMTP is down.*job\.cancel</b> <a class=\"id\" href=\"/jobs/", text, re.DOTALL)
    assert not CODE.search(without_own(text))
    assert "job.cancel</b>" not in client.get("/audit?who=ana").text
    assert "Nothing of that kind" in client.get("/audit?who=bob").text
    for query in ("outcome=odd", "what=odd", "before=odd", f"who={'x' * 501}"):
        assert client.get(f"/audit?{query}").status_code == 400, query
