"""The options of a node on the command line; the node itself checks their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskscheduler_daemon.cli.input.parameters import DURATION, SIZE, PortOption

F = TypeVar("F", bound=Callable[..., Any])

_POOLS = click.Choice(["dynamic", "static", "ondemand"])

_LISTS = {"jobs": "jobs", "queue": "queues"}  #: repeatable options, and their names as keywords of QueueNode

_OPTIONS = [
    click.option("--jobs", metavar="MODULE", multiple=True, help="Module that registers jobs; repeatable, or a,b."),
    click.option("--pm", type=_POOLS, help="How the number of workers is managed.  [default: dynamic]"),
    click.option("--min-children", type=int, help="Workers at start; with static, at all times.  [default: 1]"),
    click.option("--max-children", type=int, help="Largest number of workers.  [default: 2]"),
    click.option(
        "--max-forced",
        type=int,
        help="Jobs with a worker of their own: force_spawn, services.  [default: 4 x --max-children, at least 16]",
    ),
    click.option("--async-jobs", type=int, help="Async jobs that one worker runs at once.  [default: 100]"),
    click.option("--worker-max-jobs", type=int, help="Replace a worker after this many jobs.  [default: never]"),
    click.option("--worker-max-age", type=DURATION, help="Replace a worker after this long.  [default: never]"),
    click.option(
        "--worker-max-growth", type=SIZE, help="Replace a worker that grew by this much: 100M.  [default: never]"
    ),
    click.option(
        "--idle-ttl", type=DURATION, help="End idle workers above --min-children after this long.  [default: 60s]"
    ),
    click.option("--queue", metavar="NAME", multiple=True, help="Queue to serve; repeatable.  [default: all]"),
    click.option("--name", help="Display name.  [default: host name and process id]"),
    click.option("--version", help="Version of your code, for people.  [default: that of the installed job modules]"),
    click.option(
        "--orphaned-timeout",
        type=DURATION,
        help="Lease: jobs move to other nodes after this long without a heartbeat.  [default: 30s]",
    ),
    click.option(
        "--stop-timeout", type=DURATION, help="Time for running jobs to finish after SIGTERM.  [default: 10s]"
    ),
    click.option("--kill-grace", type=DURATION, help="Time between SIGTERM and SIGKILL for a job.  [default: 500ms]"),
    click.option(
        "--keep-children",
        is_flag=True,
        default=None,
        help="Let what a job leaves running go on until its worker ends.  [default: kill it with the job]",
    ),
    click.option(
        "--capture/--no-capture",
        default=None,
        help="Store what jobs print with what they log, or let the node print it.  [default: --capture]",
    ),
    click.option(
        "--echo/--no-echo",
        default=None,
        help="Print what jobs print also here, each line after its job.  [default: only with dev]",
    ),
    click.option("--max-jobs", type=int, help="End after this many jobs; 0: never.  [default: 0]"),
    click.option("--max-lost", type=int, help="Give up on a job after this many lost workers.  [default: 3]"),
    click.option(
        "--progress-rate-limit",
        type=DURATION,
        help="Least time between two writes of one job's progress; 0: no limit.  [default: 500ms]",
    ),
    click.option(
        "--unknown-timeout",
        type=DURATION,
        help="Fail a job that no node knows after this long; 0: at once.  [default: 1h]",
    ),
    click.option(
        "--tracing", is_flag=True, default=None, help="Make a span for OpenTelemetry of each attempt.  [default: off]"
    ),
    click.option(
        "--metrics-port",
        cls=PortOption,
        type=int,
        help="Serve Prometheus and probes on this port; 0: any free one.  [default: none]",
    ),
    click.option("--metrics-host", help="Address to serve them on.  [default: 127.0.0.1]"),
    click.option("--max-memory", type=SIZE, help="Memory limit of one worker: 512M, 2G.  [default: no limit]"),
    click.option("--max-cpu", type=DURATION, help="CPU time limit of one job.  [default: no limit]"),
    click.option("--max-files", type=int, help="Limit on open files per worker.  [default: no limit]"),
    click.option("--max-processes", type=int, help="Limit on processes per user.  [default: no limit]"),
]


def node_options(function: F) -> F:
    """Decorates a command with all options of a node."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def given_options(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the options that were given, so that the node's defaults hold for the rest; splits lists at commas."""
    options = {name: value for name, value in given.items() if value not in (None, ())}
    for name, keyword in _LISTS.items():
        if name in options:
            options[keyword] = [part for item in options.pop(name) for part in item.split(",") if part]
    if "progress_rate_limit" in options:
        options["progress_rate_limit"] = round(options["progress_rate_limit"] * 1000)  # milliseconds, as in Python
    return options


def as_arguments(given: dict[str, Any]) -> list[str]:
    """Returns the arguments that give these options to another command, whose node is to have the same ones."""
    return [word for name, value in given.items() if value not in (None, ()) for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, tuple):
        return [f"--{flag}={item}" for item in value]
    return [f"--{flag}={value}"]
