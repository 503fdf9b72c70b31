"""The options of a node as they reach it."""

from __future__ import annotations

from taskscheduler_daemon.cli.input.node_options import given_options


def test_only_what_was_given_reaches_the_node() -> None:
    given = {"jobs": ("a.b,c", "d"), "queue": (), "pm": None, "min_children": 0, "name": "n"}
    assert given_options(given) == {"jobs": ["a.b", "c", "d"], "min_children": 0, "name": "n"}
