"""taskscheduler bench: prints how fast a database adds and runs jobs."""

from __future__ import annotations

import click

from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.bench.measure import PREFIX, measure
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import chosen_uri, view_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv
from taskscheduler_daemon.system.interrupts import InterruptibleQueue

HELP = f"""Measure how fast this database adds and runs jobs: rates, and latencies at light load.

The jobs do nothing. They live in collections of their own ({PREFIX}ID.jobs and so on), which no other node serves. A
temporary node with two workers on this machine runs them. Collections and node are removed at the end, also after
Ctrl-C.

Exit codes: 0 measured, 1 the jobs made no progress, 2 usage, 4 database unreachable, 130 Ctrl-C.
"""


@cli_command("bench", example="taskscheduler bench --jobs-count 20000", help=HELP)
@click.option(
    "--jobs-count", type=click.IntRange(100, 1_000_000), default=5000, show_default=True, help="Jobs for the rates."
)
@click.option(
    "--latency-samples", type=click.IntRange(2, 10_000), default=100, show_default=True, help="Jobs for the latencies."
)
def command(settings: Settings, jobs_count: int, latency_samples: int) -> int:
    interrupts: InterruptibleQueue[None] = InterruptibleQueue()
    with view_database(settings) as view, chosen_uri(settings) as uri:
        view.overview.server()  # while Ctrl-C still ends the command at once
        with interrupts.signals():
            return _measured(settings, uri, interrupts, jobs_count, latency_samples)


def _measured(
    settings: Settings, uri: str, interrupts: InterruptibleQueue[None], jobs_count: int, samples: int
) -> ExitCode:
    try:
        with translated():
            figures = measure(uri, interrupts, jobs_count, samples)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    _print(settings, figures)
    return ExitCode.OK


_WORDS = {
    "add_job_per_second": "added one per call: {:,.0f} jobs/s",
    "add_jobs_per_second": "added many per call: {:,.0f} jobs/s",
    "drain_per_second": "run by one node with two workers: {:,.0f} jobs/s",
    "start_p50_ms": "from add to start, median: {:.1f} ms",
    "start_p99_ms": "from add to start, 99 of 100 within: {:.1f} ms",
    "result_p50_ms": "from add to result, median: {:.1f} ms",
    "result_p99_ms": "from add to result, 99 of 100 within: {:.1f} ms",
}


def _print(settings: Settings, figures: dict[str, float]) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty(figures))
    elif form == "ndjson":
        say(json_line(figures))
    elif form == "table":
        for name, value in figures.items():
            say(_WORDS[name].format(value))
    else:
        for name, value in figures.items():
            say(tsv((name, f"{value:.3f}")))
