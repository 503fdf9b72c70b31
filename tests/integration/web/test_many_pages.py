"""What people do with many jobs at once: with those they have selected, and with all that match."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient
from tests.support.web import ended, without_own

from taskscheduler import Scheduler, Status
from taskscheduler_daemon.web.pages.jobs import many

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def fields(text: str) -> dict[str, str]:
    """The hidden fields of a form."""
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text)
    return {name: html.unescape(value) for name, value in found}


def statuses(scheduler: Scheduler) -> list[Status]:
    return sorted(job.status for job in scheduler.get_jobs({}))


def test_all_that_match_are_retried_after_a_question(client: TestClient, scheduler: Scheduler) -> None:
    failed = [ended(scheduler, Status.FAILED, fingerprint="a1b2c3d4e5f6") for _ in range(5)]
    other = ended(scheduler, Status.FAILED)
    asked = client.get("/jobs/many", params={"all": "retry", "q": "fingerprint:a1b2c3d4e5f6"}).text
    assert "<h1>Retry 5 jobs?</h1>" in asked
    assert any(str(one) in asked for one in failed)
    assert scheduler.get_job(failed[0]).status is Status.FAILED, "a question changes nothing"
    answer = client.post("/jobs/many", data={**fields(asked), "reason": "SMTP is back", "spread": "10s"})
    assert "5 jobs queued" in answer.text
    jobs = [scheduler.get_job(one) for one in failed]
    assert {job.reason for job in jobs} == {"SMTP is back"} or all(not job.status.is_final for job in jobs)
    assert scheduler.get_job(other).status is Status.FAILED


def test_the_selected_ones_alone_are_cancelled(client: TestClient, scheduler: Scheduler) -> None:
    jobs = scheduler.add_jobs(["noop"] * 4)
    chosen = {"selected": "cancel", "id": [str(job.id) for job in jobs[:2]], "status": "live"}
    asked = client.get("/jobs/many", params=chosen).text
    assert "<h1>Cancel 2 jobs?</h1>" in asked
    assert "2 jobs cancelled" in client.post("/jobs/many", data=fields(asked)).text
    assert [job.refresh().status for job in jobs] == [Status.CANCELED] * 2 + [Status.WAITING] * 2


def test_what_is_left_out_is_counted_and_explained(client: TestClient, scheduler: Scheduler) -> None:
    waits, failed = scheduler.add_job("noop").id, ended(scheduler, Status.FAILED)
    chosen = {"selected": "retry", "id": [str(waits), str(failed)]}
    answer = client.post("/jobs/many", data=fields(client.get("/jobs/many", params=chosen).text)).text
    assert re.search(r"1 job queued|1 job queued, 1 left out", answer)


def test_a_filter_of_fields_and_words_means_the_jobs_of_the_list(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs([(SCRIPT, None, {"queue": "mail"}), ("noop", None, {"queue": "mail"})])
    asked = client.get("/jobs/many", params={"all": "delete", "job": SCRIPT, "status": "live", "q": "queue:mail"})
    assert "<h1>Delete 1 job?</h1>" in asked.text
    assert not re.search("<script|<img", without_own(asked.text))
    client.post("/jobs/many", data=fields(asked.text))
    assert [job.job for job in scheduler.get_jobs({})] == ["noop"]


def test_more_than_one_request_changes_can_be_gone_on_with(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "AT_ONCE", 2)
    scheduler.add_jobs(["noop"] * 3)
    asked = client.get("/jobs/many?all=cancel&q=status:live").text
    assert "you can go on with the others" in asked
    answer = client.post("/jobs/many", data=fields(asked)).text
    assert "2 jobs cancelled" in answer
    assert 'href="/jobs/many?all=cancel&amp;q=status%3Alive"' in answer
    assert statuses(scheduler) == [Status.WAITING, Status.CANCELED, Status.CANCELED]


def test_a_form_of_another_page_changes_nothing(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs(["noop"] * 2)
    good = fields(client.get("/jobs/many?all=cancel&q=class:noop+status:live").text)
    for wrong in ({}, {**good, "do": "delete"}, {**good, "where": "status:live"}, {**good, "csrf": "x"}):
        assert client.post("/jobs/many", data=wrong).status_code == 403
    assert client.post("/jobs/many", data=good, headers={"Origin": "http://evil.example"}).status_code == 403
    assert statuses(scheduler) == [Status.WAITING] * 2


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("selected=retry", 400, "No job is selected"),
        ("selected=explode&id=x", 404, "There is no such page"),
        ("all=retry&q=stauts:failed", 400, "did you mean status?"),
        ("selected=retry&id=x", 400, "id"),
        ("selected=retry" + "&id=" + "&id=".join(["0" * 24] * 501), 400, "500 jobs at most"),
        ("all=retry&q=class:noop", 400, "no index serves"),
    ],
)
def test_a_wrong_question_is_refused_in_words(client: TestClient, query: str, code: int, said: str) -> None:
    answer = client.get(f"/jobs/many?{query}")
    assert (answer.status_code, said in html.unescape(answer.text)) == (code, True), answer.text


def test_a_selection_of_everything_says_so(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.add_jobs(["noop"] * 2)
    assert "Cancel all" not in client.get("/jobs").text, "the list without a filter does not offer it"
    assert client.get("/jobs/many?all=cancel").status_code in (200, 400)
    assert "Cancel all" in client.get("/jobs?status=live").text
