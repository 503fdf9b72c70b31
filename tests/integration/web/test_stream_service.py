"""The stream of the web service, by a real server: what changes is sent, and a client goes on where it was."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import tests.support.jobs  # noqa: F401 - registers them
from starlette.testclient import TestClient
from tests.support.eventually import eventually

from taskscheduler import Scheduler
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http.server import WebServer, web_server

PATIENCE = 60.0


@pytest.fixture
def site(scheduler: Scheduler) -> Iterator[str]:
    """The address of a server on the database of the test."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = web_server(create_app(scheduler, ["noop"]), verbose=False)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    eventually(lambda: server.started)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1/stream"
    end(server, thread)
    listening.close()


def end(server: WebServer, thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()


def events(answer: httpx2.Response) -> Iterator[tuple[str, Any, str]]:
    """The events of a stream: name, data and id, as a browser reads them."""
    name, data, place = "", "", ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = value
        elif field == "id":
            place = value
        elif not line:
            if data:
                yield name, json.loads(data), place
            name, data = "", ""


def follow(site: str, query: str = "", **headers: str) -> Any:
    return httpx2.stream("GET", site + query, headers=headers, timeout=PATIENCE)


def until(found: Iterator[tuple[str, Any, str]], last: str) -> list[tuple[str, Any, str]]:
    seen = []
    for one in found:
        seen.append(one)
        if one[0] == last:
            return seen
    raise AssertionError(f"the stream ended without {last}: {seen}")


def test_changes_are_sent_and_a_client_goes_on_where_it_was(scheduler: Scheduler, site: str) -> None:
    with follow(site) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer)
        assert next(found)[:2] == ("open", {"resumed": False})
        job = scheduler.add_job("noop", queue="mail")
        [(name, change, place)] = until(found, "waiting")
        assert (name, change["id"], change["job"], change["queue"]) == ("waiting", str(job.id), "noop", "mail")
    with InlineNode(scheduler) as node:
        node.run_due()
    with follow(site, **{"Last-Event-ID": place}) as answer:
        found = events(answer)
        assert next(found)[:2] == ("open", {"resumed": True})
        assert [one[0] for one in until(found, "done")] == ["processing", "done"]


def test_a_client_gets_what_it_asked_for(scheduler: Scheduler, site: str) -> None:
    with follow(site, "?queue=mail,files&events=waiting,done&coalesce=0.1") as answer:
        found = events(answer)
        next(found)
        scheduler.add_job("noop")
        scheduler.add_job("noop", queue="mail")
        assert [one[1]["queue"] for one in until(found, "waiting")] == ["mail"]


def test_a_wrong_stream_is_a_problem(client: TestClient) -> None:
    wrong = (("events=dune", "Unknown event"), ("topic=job", "did you mean topics?"), ("coalesce=61", "coalesce"))
    for query, text in wrong:
        answer = client.get(f"/api/v1/stream?{query}")
        assert (answer.status_code, text in answer.json()["detail"]) == (400, True), answer.text


def test_too_many_streams_are_sent_away(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler_daemon.web.live.feed.MOST_SUBSCRIBERS", 0)
    answer = client.get("/api/v1/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
