"""The options of a node as they reach it."""

from __future__ import annotations

from taskscheduler_daemon.cli.input.node_options import given_options


def test_only_what_was_given_reaches_the_node() -> None:
    given = {"jobs": ("a.b,c", "d"), "queue": (), "pm": None, "min_children": 0, "name": "n"}
    assert given_options(given) == {"jobs": ["a.b", "c", "d"], "min_children": 0, "name": "n"}


def test_the_limit_for_progress_is_a_duration_on_the_command_line_and_milliseconds_for_the_node() -> None:
    assert given_options({"progress_rate_limit": 0.25}) == {"progress_rate_limit": 250}
    assert given_options({"progress_rate_limit": 0}) == {"progress_rate_limit": 0}
