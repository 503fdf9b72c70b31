"""Jobs, queues and nodes as the templates get them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.tables import table
from tests.unit.presentation.fakes import NOW, ago, job

from taskscheduler.model.lifecycle import Status
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler_daemon.web.pages.jobs.views import job_page
from taskscheduler_daemon.web.pages.view_models import (
    count_tiles,
    job_row,
    node_row,
    program_row,
    queue_row,
    service_row,
    status_view,
    urgent_first,
)

NODE = {"_id": "boot", "name": "web-1", "silent": 1.0, "lease": 30}


def test_every_status_has_a_sign_of_its_own() -> None:
    assert len({status_view(status)["sign"] for status in Status}) == len(Status)
    assert status_view(Status.TIMEOUT) == {"name": "timeout", "sign": "!"}


def test_a_job_in_a_list_is_short() -> None:
    fields: dict[str, Any] = {"class": "c" * 90, "queue": "q" * 50}
    row = job_row(job(Status.WAITING, **fields), NOW)
    assert (row["queue"], row["job"]) == ("q" * 40 + "…", "c" * 80 + "…")
    assert (row["age"], row["added"]) == ("8m", "2026-11-21T07:52:00.000Z")


def test_the_page_of_a_job_shows_facts_that_have_a_value() -> None:
    facts = dict(job_page(job(Status.WAITING, queue="mail", priority=3, lost=2), NOW)["facts"])
    assert facts["Queue"] == "mail"
    assert facts["Priority"] == "3"
    assert facts["Lost"] == "2 times with its worker or node"
    assert not facts.keys() & {"Started", "Ended", "Service", "Program", "Solo", "Parent"}


@pytest.mark.parametrize("more", [{}, {"service": {"name": "mail"}}, {"program": {"pid": 7}}])
def test_a_job_in_a_status_that_is_none_can_be_cancelled_and_deleted(more: dict[str, Any]) -> None:
    page = job_page(job(Status(99), **more), NOW)
    assert [action.name for action in page["actions"]] == ["cancel", "delete"]


def test_only_a_done_job_has_a_result() -> None:
    assert job_page(job(Status.DONE, result=5), NOW)["result"] == "5"
    assert job_page(job(Status.FAILED), NOW)["result"] is None


def test_the_data_of_a_program_that_has_none_are_not_shown() -> None:
    assert job_page(job(Status.PROCESSING, program={"pid": 7}), NOW)["data"] is None
    assert job_page(job(Status.PROCESSING), NOW)["data"] == "null"


def test_an_error_is_shown_in_parts() -> None:
    error = {"type": "OSError", "message": "no\x1b\nroom", "traceback": "a\n\tb", "signal": 9}
    shown = job_page(job(Status.FAILED, error=error), NOW)["error"]
    assert shown["line"] == "OSError: no\\x1b"
    assert shown["message"] == "no\\x1b\nroom"
    assert shown["traceback"] == "a\n    b"
    assert '"signal": 9' in shown["extra"]


@table(
    ("state", "actions"),
    [
        (job(Status.WAITING), ["cancel", "delete"]),
        (job(Status.DONE), ["retry", "delete"]),
        (job(Status.PROCESSING, service={"name": "feed"}), ["stop", "delete"]),
        (job(Status.CANCELED, service={"name": "feed"}), ["start", "delete"]),
        (job(Status.FAILED, program={"pid": 7}), ["delete"]),
    ],
)
def test_the_page_offers_what_the_status_allows(state: Any, actions: list[str]) -> None:
    assert [action.label for action in job_page(state, NOW)["actions"]] == actions


def test_attempts_come_newest_first() -> None:
    document = job(
        Status.DONE,
        attempt=2,
        started=ago(5),
        ended=NOW,
        node="web-2",
        attempts=[{"attempt": 1, "status": None, "started": ago(60), "ended": ago(50), "node": "web-1"}],
    )
    second, first = job_page(document, NOW)["attempts"]
    assert (second["number"], second["status"]["name"], second["run"]) == (2, "done", "5s")
    assert (first["number"], first["status"], first["run"]) == (1, {"name": "handed back", "sign": "↺"}, "10s")


def test_rows_of_services_and_programs() -> None:
    service = service_row(job(Status.PROCESSING, service={"name": "feed"}, attempt=3, started=ago(60), node="n"), NOW)
    assert (service["name"], service["starts"], service["run"], service["node"]) == ("feed", 3, "1m", "n")
    program = program_row(job(Status.PROCESSING, program={"pid": 7, "host": "a"}, alive=ago(2)), NOW)
    assert (program["program"], program["alive"]) == ("pid 7 on a", "2s")


@table(
    ("nodes", "served"),
    [([], False), ([NODE], True), ([{**NODE, "queues": ["files"]}], False), ([{**NODE, "silent": 31.0}], False)],
)
def test_a_queue_is_served_by_a_node_that_is_up(nodes: list[dict[str, Any]], served: bool) -> None:
    row = queue_row(Backlog("mail", 10_001, 60.0), list(nodes))
    assert row == {"name": "mail", "waiting": "10k+", "oldest": "1m", "served": served, "paused": False}
    assert queue_row(Backlog("mail", 1, 60.0), [], {"mail"})["paused"]


@pytest.mark.parametrize(
    ("node", "state"),
    [(NODE, "up"), ({**NODE, "silent": 31.0}, "silent"), ({**NODE, "silent": 31.0, "lost": True}, "lost")],
)
def test_a_node_has_a_state_and_a_load(node: dict[str, Any], state: str) -> None:
    row = node_row({**node, "slots": 2, "running": 1, "pid": 7, "host": "a", "version": "1.4.2"})
    assert (row["version"], node_row(node)["version"]) == ("1.4.2", "")
    assert (row["state"], row["busy"], row["process"], row["queues"]) == (
        state,
        "" if state == "lost" else "1 of 2 busy",
        "7 on a",
        "all",
    )


def test_tiles_are_counted_per_status() -> None:
    [tile] = count_tiles({Status.FAILED: 3})
    assert tile == {"status": status_view(Status.FAILED), "count": "3"}


def test_a_clock_that_is_ahead_gives_no_negative_age() -> None:
    assert program_row(job(Status.PROCESSING, alive=NOW + timedelta(seconds=9)), NOW)["alive"] == "0s"


def test_a_failing_service_has_the_colour_of_failure() -> None:
    failing = job(Status.POSTPONED, attempt=9, at=NOW, service={"name": "feed", "failures": 8})
    assert service_row(failing, NOW)["status"] == {"name": "failed", "sign": "✗", "text": "failing"}
    assert service_row(failing, NOW)["note"].startswith("failing (8 times), again ")


def test_the_nodes_that_need_somebody_come_first() -> None:
    up: dict[str, Any] = {"_id": "boot", "name": "up", "silent": 1.0, "lease": 30}
    lost = {**up, "name": "lost", "silent": 60.0, "lost": True}
    old, silent = {**lost, "name": "old", "silent": 7200.0}, {**up, "name": "silent", "silent": 31.0}
    draining = {**up, "name": "draining", "drain": True}
    found = urgent_first([up, old, draining, silent, lost])
    assert [node["name"] for node in found] == ["lost", "silent", "draining", "up", "old"]
    assert (node_row(lost)["busy"], node_row({**up, "slots": 4})["busy"]) == ("", "0 of 4 busy")
