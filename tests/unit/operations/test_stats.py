"""Statistics of a cluster, made of what is stored about it."""

from __future__ import annotations

from typing import Any

from tests.support.tables import table

from taskscheduler import Status
from taskscheduler.operations.stats import by_status, of_node, of_nodes, of_queue
from taskscheduler.store.counts.backlogs import Backlog

NODE: dict[str, Any] = {"name": "a", "host": "h", "queues": ["x"], "running": 1, "slots": 3, "silent": 2.0, "lease": 9}


def test_every_status_is_counted_by_its_label() -> None:
    counts = by_status({Status.DONE: 3})
    assert list(counts) == ["waiting", "postponed", "processing", "done", "failed", "canceled", "timeout"]
    assert counts["done"] == 3
    assert sum(counts.values()) == 3


def test_a_queue_tells_its_backlog() -> None:
    assert of_queue(Backlog("x", 7, 1.5)) == {"waiting": 7, "oldest": 1.5, "is_complete": True}


@table(
    ("change", "state"),
    [
        ({}, "up"),
        ({"silent": 9.0}, "up"),
        ({"silent": 9.1}, "silent"),
        ({"silent": 29, "lease": None}, "up"),
        ({"lost": True}, "lost"),
        ({"silent": 99, "lost": True}, "lost"),
    ],
)
def test_a_node_is_up_as_long_as_its_lease_runs(change: dict[str, Any], state: str) -> None:
    assert of_node({**NODE, **change})["state"] == state


def test_slots_are_free_unless_they_run_something_and_never_negative() -> None:
    assert (of_node(NODE)["running"], of_node(NODE)["free"], of_node(NODE)["total"]) == (1, 2, 3)
    assert of_node({**NODE, "running": 5})["free"] == 0  # workers of their own come on top
    assert of_node({})["total"] == 0
    assert of_node({**NODE, "running": 57, "busy": 1})["free"] == 2, "async ones share a slot"


def test_a_node_tells_its_workers_and_what_it_has_done() -> None:
    told = of_node({**NODE, "workers": [{}, {}], "ended": {"succeeded": 4, "failed": 1}})
    assert (told["workers"], told["ended"]) == (2, {"succeeded": 4, "failed": 1})
    assert (of_node(NODE)["workers"], of_node(NODE)["ended"], of_node(NODE)["version"]) == (0, {}, "")
    assert of_node({**NODE, "version": "1.4.2"})["version"] == "1.4.2"


def test_only_nodes_that_are_up_have_slots_to_offer() -> None:
    found = of_nodes([NODE, {**NODE, "lost": True}, {**NODE, "silent": 10}, NODE])
    assert found["slots"] == {"running": 2, "free": 4, "total": 6}
    assert len(found["nodes"]) == 4
    assert of_nodes([]) == {"nodes": [], "slots": {"running": 0, "free": 0, "total": 0}}
