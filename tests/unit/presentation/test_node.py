"""How a node is described."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskscheduler_daemon.presentation.node import LOST, SILENT, UP, describe, node_row, node_state


def test_when_a_node_counts_as_up() -> None:
    assert node_state({"silent": 1.0, "lease": 30}) == UP
    assert node_state({"silent": 31.0, "lease": 30}) == SILENT
    assert node_state({"silent": 31.0, "lease": 30, "lost": True}) == LOST


def test_a_node_tells_its_slots_and_jobs_apart() -> None:
    def slots(**facts: int) -> str:
        return describe({"slots": 2, **facts})[1][1]

    assert slots(running=1) == "1/2 busy"
    assert slots(running=5) == "2/2 busy, 5 jobs in all"
    assert slots(running=57, busy=1) == "1/2 busy, 57 jobs in all"
    assert slots(running=1, busy=0) == "0/2 busy, 1 job in all"
    assert describe({})[1][1] == "0/? busy"


def test_a_node_in_a_list_says_what_it_does_not_know_of_itself() -> None:
    start = datetime(2026, 11, 29, tzinfo=UTC)
    times = {"started": start, "alive": start + timedelta(hours=1), "silent": 0.0, "lease": 30}
    facts = {"name": "web-1", "host": "a", "version": "1.4.2", "queues": ["mail", "files"], "slots": 2, "running": 1}
    row = node_row({**facts, **times, "jobs": ["Mail", "Sort"]})
    assert row == ("web-1", "a", "1.4.2", "up", "mail, files", "1/2 busy", "1h", "2")
    assert node_row({"name": "old"}) == ("old", "?", "-", "up", "all", "0/? busy", "?", "?")
