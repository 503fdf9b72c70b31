"""Logs of jobs on their pages, as text, and from the web service."""

from __future__ import annotations

import html
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.support.talking import fail_talking, print_bytes, say, silent

from taskscheduler import Process, Scheduler
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.api.logs import LogRecords


def ran(scheduler: Scheduler, job: Any, data: Any = None, **options: Any) -> Process:
    process = scheduler.add_job(job, data, options)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return process


def test_the_page_shows_the_log_of_each_attempt(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, fail_talking, retry=1, retry_interval=0)
    page = client.get(f"/jobs/{process.id}").text
    assert "stdout attempt 1\n" in page
    assert "stdout attempt 2\n" in page
    page = client.get(f"/jobs/{process.id}?attempt=2&level=").text
    assert "stdout attempt 1\n" not in page
    assert "<option selected>2</option>" in page
    assert "No lines of this level" in client.get(f"/jobs/{process.id}?level=ERROR").text
    text = client.get(f"/jobs/{process.id}/log.txt")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert [line.partition(" ")[2] for line in text.text.splitlines()] == ["stdout attempt 1", "stdout attempt 2"]
    assert client.get(f"/jobs/{process.id}/log.txt?attempt=2").text.endswith("stdout attempt 2\n")


def test_a_job_without_a_log_shows_none(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, silent)
    assert 'id="log"' not in client.get(f"/jobs/{process.id}").text
    assert client.get(f"/jobs/{process.id}/log.txt").text == ""
    assert client.get(f"/jobs/{'0' * 24}/log.txt").status_code == 404


def test_what_a_job_prints_cannot_become_markup(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, say, {"text": "</pre><script>alert(1)</script>\x1b[31m"})
    page = client.get(f"/jobs/{process.id}").text
    assert "<script>alert" not in page
    assert "</pre><script>alert(1)</script>\\x1b[31m 0" in html.unescape(page)


def test_the_service_answers_a_page_from_either_end(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, say, {"text": "line", "times": 25})
    found, cursor = list[str](), ""
    while True:
        answer = client.get(f"/api/v1/jobs/{process.id}/logs?limit=10&order=newest{cursor}")
        page = TypeAdapter(LogRecords).validate_json(answer.content)
        found += [line.text for line in page.lines]
        if page.next is None:
            break
        cursor = f"&cursor={page.next}"
    assert found == [f"line {number}" for number in reversed(range(25))]
    oldest = client.get(f"/api/v1/jobs/{process.id}/logs?attempt=1").json()
    assert (len(oldest["lines"]), oldest["next"]) == (25, None)
    assert oldest["lines"][0]["level"] == "INFO"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("attempt=x", 'attempt must be a number, not "x"'),
        ("attempt=0", "option attempt must"),
        ("limit=20000", "option limit must"),
        ("order=up", 'order must be one of oldest, newest, not "up"'),
        ("cursor=9", "cursor '9' is none"),
        ("level=INFO", 'Unknown "level"'),
    ],
)
def test_a_wrong_parameter_is_named(client: TestClient, scheduler: Scheduler, query: str, said: str) -> None:
    process = scheduler.add_job(print_bytes, {"data": b""})
    answer = client.get(f"/api/v1/jobs/{process.id}/logs?{query}")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
