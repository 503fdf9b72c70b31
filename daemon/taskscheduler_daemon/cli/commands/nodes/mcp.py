"""taskscheduler mcp: lets an assistant look at jobs, over standard input and output."""

from __future__ import annotations

import sys

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import serve_database
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark

HELP = """Let an assistant look at the jobs, by the Model Context Protocol on standard input and output.

Its tools show the cluster, jobs, logs, failures, and why a job waits. They change nothing. With --write there are tools
that retry and cancel jobs, pause and resume, each with a reason; the audit log has what they did, as "mcp".

An assistant starts this command itself. It needs the extra mcp: pip install 'mongo-taskscheduler[mcp]'.
"""


@cli_command("mcp", example="taskscheduler mcp --uri mongodb://host/app", output=False, help=HELP)
@click.option("--write", is_flag=True, allow_from_autoenv=False, help="Also let it retry, cancel, pause and resume.")
def command(settings: Settings, write: bool) -> None:
    from taskscheduler_daemon.cli.assistant.server import server_of  # noqa: PLC0415 - who asks for help needs no extra

    if sys.stdin.isatty():
        remark("taskscheduler: an assistant starts this command and speaks with it; it waits for messages now")
    with serve_database(settings) as database:
        server_of(database, write).run("stdio")
