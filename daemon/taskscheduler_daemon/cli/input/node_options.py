"""Decides which options a node takes on the command line; what they may be is decided by the node itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskscheduler_daemon.cli.input.parameters import DURATION, SIZE

F = TypeVar("F", bound=Callable[..., Any])

_POOLS = click.Choice(["dynamic", "static", "ondemand"])

_LISTS = {"jobs": "jobs", "queue": "queues"}  #: options that may be repeated, by what the node calls them

_OPTIONS = [
    click.option(
        "--jobs", metavar="MODULE", multiple=True, help="Module whose import registers jobs; repeatable, or a,b."
    ),
    click.option("--pm", type=_POOLS, help="How workers are managed.  [default: dynamic]"),
    click.option("--min-children", type=int, help="Workers at start, or always (static).  [default: 1]"),
    click.option("--max-children", type=int, help="Most workers.  [default: 2]"),
    click.option("--async-jobs", type=int, help="Async jobs that one worker runs at once.  [default: 100]"),
    click.option("--worker-max-jobs", type=int, help="Replace a worker after so many jobs.  [default: never]"),
    click.option("--worker-max-age", type=DURATION, help="Replace a worker after so long.  [default: never]"),
    click.option("--worker-max-growth", type=SIZE, help="Replace a worker grown by so much: 100M.  [default: never]"),
    click.option("--idle-ttl", type=DURATION, help="End workers above --min-children without work.  [default: 60s]"),
    click.option("--queue", metavar="NAME", multiple=True, help="Queue to serve; repeatable.  [default: all]"),
    click.option("--name", help="What people see.  [default: host name and process id]"),
    click.option("--orphaned-timeout", type=DURATION, help="Silence after which its jobs are taken.  [default: 30s]"),
    click.option("--stop-timeout", type=DURATION, help="Time to finish after SIGTERM.  [default: 10s]"),
    click.option("--kill-grace", type=DURATION, help="Time between SIGTERM and SIGKILL for a job.  [default: 500ms]"),
    click.option("--max-jobs", type=int, help="End after so many jobs; 0: never.  [default: 0]"),
    click.option("--max-lost", type=int, help="Lost workers that set a job aside.  [default: 3]"),
    click.option("--max-memory", type=SIZE, help="Memory of one worker: 512M, 2G.  [default: no limit]"),
    click.option("--max-cpu", type=DURATION, help="CPU time of one job.  [default: no limit]"),
    click.option("--max-files", type=int, help="Open files of one worker.  [default: no limit]"),
    click.option("--max-processes", type=int, help="Processes of this user.  [default: no limit]"),
]


def node_options(function: F) -> F:
    """All options of a node."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen(given: dict[str, Any]) -> dict[str, Any]:
    """Only what was given, so that the node's own defaults hold for the rest; lists may have commas."""
    options = {name: value for name, value in given.items() if value not in (None, ())}
    for name, meant in _LISTS.items():
        if name in options:
            options[meant] = [part for item in options.pop(name) for part in item.split(",") if part]
    return options
