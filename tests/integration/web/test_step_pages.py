"""What the page of a job shows of its steps."""

from __future__ import annotations

from starlette.testclient import TestClient
from tests.support.resumable import Order
from tests.support.web import without_own

from taskscheduler import Scheduler
from taskscheduler.testing import InlineNode

SCRIPT = "<script>alert(1)</script>"


def test_the_page_of_a_job_shows_its_steps(client: TestClient, scheduler: Scheduler) -> None:
    job = scheduler.add_job(Order, {"trace": "/dev/null", "waits": True})
    assert "<h2>Steps</h2>" not in client.get(f"/jobs/{job.id}").text
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    scheduler.signal(job.id, SCRIPT)
    text = client.get(f"/jobs/{job.id}").text
    assert "<h2>Steps</h2>" in text
    assert '<th scope="row" data-label="Step">charge</th>' in text
    assert "signal, has not come" in text
    assert "waits for signal approved" in text
    assert "WAITING_FOR" in text
    assert "9999" not in text
    assert "&lt;script&gt;" in text
    assert "<script" not in without_own(text)
    scheduler.signal(job.id, "approved", SCRIPT)
    text = client.get(f"/jobs/{job.id}").text
    assert "signal, &#34;&lt;script&gt;" in text
    assert "<script" not in without_own(text)


def test_the_page_survives_steps_that_somebody_else_wrote(client: TestClient, scheduler: Scheduler) -> None:
    job = scheduler.add_job("noop")
    for odd in (
        7,
        "text",
        {"name": 1},
        [7, {"name": 3}, {"name": "x", "at": 1}],
        [{"name": "y", "at": None, "until": 3}],
    ):
        odd_fields = {"steps": odd, "signals": odd, "awaits": odd}
        scheduler.store.jobs.collection.update_one({"_id": job.id}, {"$set": {"status": 1, **odd_fields}})
        assert client.get(f"/jobs/{job.id}").status_code == 200
        assert client.get("/jobs").status_code == 200
        assert scheduler.why(job.id).code
