"""The filter language in the pages and in the web service."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from tests.support.web import ended

from taskscheduler import Scheduler, Status
from taskscheduler.store.web import job_pages


def ids(client: TestClient, **parameters: str) -> list[str]:
    answer = client.get("/tasks", params=parameters)
    assert answer.status_code == 200, answer.text
    return [task["identifier"] for task in answer.json()]


def test_tasks_are_found_by_an_expression(client: TestClient, scheduler: Scheduler) -> None:
    waits = scheduler.add_job("noop", {"user": {"id": 42}}, tags=["a"])
    failed = ended(scheduler, Status.FAILED, error={"type": "SMTPError", "message": "gone"})
    done = ended(scheduler, Status.DONE, tags=["a"])
    assert ids(client, where="status:failed error:SMTP*") == [str(failed)]
    assert ids(client, where="data.user.id:42 status:live") == [str(waits.id)]
    assert ids(client, where="tag:a created:>-1h", order="date") == [str(waits.id), str(done)]
    assert ids(client, where="tag:a", status="finished") == [str(done)]
    assert ids(client, where="class:noop", slow="true", order="date") == [str(waits.id), str(failed), str(done)]
    assert ids(client, where="status:failed,waiting", profile="default", order="date") == [str(waits.id), str(failed)]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("stauts:failed", "filter 'stauts:failed': there is no key 'stauts'; did you mean status?"),
        ("class:noop", "no index serves 'class:noop', so all jobs would be read"),
        ('"', "a quote is not closed"),
    ],
)
def test_a_wrong_expression_is_refused_in_words(client: TestClient, where: str, message: str) -> None:
    answer = client.get("/tasks", params={"where": where})
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert message in answer.json()["message"]


def test_slow_is_yes_or_no(client: TestClient) -> None:
    assert client.get("/tasks", params={"where": "class:noop", "slow": "perhaps"}).status_code == 400


def test_the_page_lists_jobs_by_an_expression(client: TestClient, scheduler: Scheduler) -> None:
    waits = scheduler.add_job("noop", tags=["a"])
    failed = ended(scheduler, Status.FAILED, error={"type": "SMTPError", "message": "gone"})
    page = client.get("/jobs", params={"q": "status:failed error:SMTP*"}).text
    assert str(failed) in page
    assert str(waits.id) not in page
    assert 'value="status:failed error:SMTP*"' in page
    assert str(waits.id) in client.get("/jobs", params={"q": "class:noop", "tag": "a"}).text
    refused = client.get("/jobs", params={"q": "stauts:failed"})
    assert refused.status_code == 400
    assert "did you mean status?" in refused.text


def test_the_page_reads_a_part_at_a_time_if_no_index_serves_the_expression(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_pages, "MOST_SEARCHED", 2)
    oldest, *others = (ended(scheduler, Status.DONE) for _ in range(4))
    page = client.get("/jobs", params={"q": "status:done class:noop"}).text
    assert str(others[-1]) in page
    assert str(oldest) not in page
    assert "2 jobs were searched" in page
    older = client.get("/jobs", params={"q": "status:done class:noop", "before": str(others[1])}).text
    assert str(oldest) in older


def test_jobs_that_wait_in_a_queue_are_found_behind_all_others(
    client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = scheduler.add_job("noop", queue="rare")
    scheduler.add_jobs(["noop"] * 9)
    monkeypatch.setattr(job_pages, "_FIRST_LOOK", 2)
    monkeypatch.setattr(job_pages, "MOST_SEARCHED", 5)
    page = client.get("/jobs", params={"q": "status:waiting queue:rare"}).text
    assert str(rare.id) in page
    assert "jobs were searched" not in page
    assert "5 jobs were searched" in client.get("/jobs", params={"q": "queue:rare"}).text


def test_the_page_goes_on_below_an_id(client: TestClient, scheduler: Scheduler) -> None:
    first, second = (ended(scheduler, Status.FAILED) for _ in range(2))
    page = client.get("/jobs", params={"q": f"status:failed id:{first},{second}", "before": str(second)}).text
    assert str(first) in page
    assert f'href="/jobs/{second}"' not in page
