"""The options of a node as they reach it."""

from __future__ import annotations

from typing import Any

import click

from taskscheduler_daemon.cli.input.node_options import as_arguments, given_options, node_options


def test_only_what_was_given_reaches_the_node() -> None:
    given = {"jobs": ("a.b,c", "d"), "queue": (), "pm": None, "min_children": 0, "name": "n"}
    assert given_options(given) == {"jobs": ["a.b", "c", "d"], "min_children": 0, "name": "n"}


def test_the_limit_for_progress_is_a_duration_on_the_command_line_and_milliseconds_for_the_node() -> None:
    assert given_options({"progress_rate_limit": 0.25}) == {"progress_rate_limit": 250}
    assert given_options({"progress_rate_limit": 0}) == {"progress_rate_limit": 0}


def test_the_options_of_a_node_pass_to_another_command_as_they_were_given() -> None:
    @click.command()
    @node_options
    def command(**given: Any) -> dict[str, Any]:
        return given

    words = ["--jobs=a,b", "--jobs=c", "--pm=static", "--no-capture", "--echo", "--keep-children", "--max-memory=2G"]
    words += ["--stop-timeout=1m30s", "--progress-rate-limit=250ms", "--name=it's -x", "--unknown-timeout=0"]
    given = command.main(words, standalone_mode=False)
    assert given["max_memory"] == 2 * 1024**3
    assert command.main(as_arguments(given), standalone_mode=False) == given
    assert as_arguments(command.main([], standalone_mode=False)) == []
