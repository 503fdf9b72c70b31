"""How a node is described."""

from __future__ import annotations

from taskscheduler_daemon.presentation.node import LOST, SILENT, UP, describe, node_state, serves


def test_when_a_node_counts_as_up() -> None:
    assert node_state({"silent": 1.0, "lease": 30}) == UP
    assert node_state({"silent": 31.0, "lease": 30}) == SILENT
    assert node_state({"silent": 31.0, "lease": 30, "lost": True}) == LOST
    assert serves({"queues": []}, "mail")
    assert not serves({"queues": ["files"]}, "mail")


def test_a_node_tells_its_slots_and_jobs_apart() -> None:
    def slots(**facts: int) -> str:
        return describe({"slots": 2, **facts})[1][1]

    assert slots(running=1) == "1/2 busy"
    assert slots(running=5) == "2/2 busy, 5 jobs in all"
    assert slots(running=57, busy=1) == "1/2 busy, 57 jobs in all"
    assert slots(running=1, busy=0) == "0/2 busy, 1 job in all"
    assert describe({})[1][1] == "0/? busy"
