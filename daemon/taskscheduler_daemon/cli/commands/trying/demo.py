"""taskscheduler demo: imports and runs the demo."""

from __future__ import annotations

import importlib

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings


@cli_command(
    "demo",
    example="taskscheduler demo",
    output=False,
    help="Run sample jobs in every state on an embedded server, until Ctrl-C.",
)
@click.option("--seconds", type=DURATION, help="End by itself after this long.")
def command(_: Settings, seconds: float | None) -> int:
    run = importlib.import_module("taskscheduler_daemon.demo.run")
    return int(run.main(seconds))
