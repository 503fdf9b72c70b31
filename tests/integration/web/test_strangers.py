"""`taskscheduler web` under load that nobody asked for: strangers without a token, and many large answers at once."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from starlette.testclient import TestClient
from tests.support.web import ended
from tests.support.web_process import WebProcess

from taskscheduler import Scheduler, Status
from taskscheduler_daemon.web.pages.jobs.views import MOST_ATTEMPTS

TOKEN = "a-long-token"
MB = 1 << 20


class Site(WebProcess):
    """The pages as a process that may open few files."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, TOKEN, ["sh", "-c", 'ulimit -n 300; exec "$@"', "sh"])

    def get(self, path: str, token: str = TOKEN) -> bytes:
        request = Request(self.address + path, headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=60) as answer:
            found: bytes = answer.read()
            return found


@pytest.fixture
def site(uri: str) -> Iterator[Site]:
    site = Site(uri)
    yield site
    if site.process.poll() is None:
        site.end()


def test_half_sent_headers_keep_nobody_out_and_fill_no_log(site: Site) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for number in range(1500):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=20))
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            if number % 300 == 299:
                began = time.monotonic()
                assert site.get("tasks") == b"[]"
                assert time.monotonic() - began < 5
        with pytest.raises(HTTPError, match="401"):
            site.get("tasks", "wrong")
    log = site.end()
    assert len(log) < 5000
    assert "Traceback" not in log


def test_many_large_lists_at_once_take_turns(scheduler: Scheduler, site: Site) -> None:
    """Each of them takes 50 MB while it is decoded as a whole; there are eight."""
    scheduler.add_jobs([("noop", {"x": [{"a": one} for one in range(8000)], "y": number}) for number in range(12)])
    site.get("tasks?status=done")
    before = site.memory("VmRSS")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(site.get, ["tasks"] * 8))
    assert len(set(answers)) == 1
    assert len(answers[0]) > 12 * 8000 * 10
    assert site.memory("VmHWM") - before < 120 * MB


def test_a_page_shows_the_newest_attempts_and_says_how_many_it_does_not(
    client: TestClient, scheduler: Scheduler
) -> None:
    attempts = [{"attempt": number, "status": 4, "error": {"type": "E", "message": "no"}} for number in range(100_000)]
    job_id = ended(scheduler, Status.FAILED, attempts=attempts)
    began = time.process_time()  # the pages are in this process
    answer = client.get(f"/jobs/{job_id}")
    assert time.process_time() - began < 5
    assert len(answer.content) < 100_000
    rows, shown = answer.text.count('data-label="Attempt"'), MOST_ATTEMPTS
    assert rows == shown
    assert "99901 earlier attempts are not shown" in answer.text
    assert len(client.get("/jobs").content) < 20_000
    few = ended(scheduler, Status.FAILED, attempts=attempts[:20])
    assert "earlier attempts" not in client.get(f"/jobs/{few}").text
