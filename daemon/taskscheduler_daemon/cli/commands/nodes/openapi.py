"""taskscheduler openapi: prints the description of the web service; needs no database."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.input.job_modules import registered_jobs
from taskscheduler_daemon.cli.input.parameters import ROOT_PATH
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.web.app import openapi

HELP = """Print the OpenAPI description of the web service, as JSON.

It is what GET /openapi.json answers, with sorted keys, so that two versions can be compared. No database is needed.
With --jobs, it says which jobs can be added.
"""


@cli_command("openapi", example="taskscheduler openapi --jobs myapp.jobs", output=False, help=HELP)
@click.option(
    "--root-path", type=ROOT_PATH, default="", metavar="PATH", envvar="TASKSCHEDULER_WEB_ROOT_PATH",
    help="Path under which the web service is mounted or a proxy serves it, such as /scheduler.",
)  # fmt: skip
@click.option("--jobs", multiple=True, metavar="MODULE", help="Module that registers jobs; repeatable, or a,b.")
def command(settings: Settings, root_path: str, jobs: Sequence[str]) -> None:  # noqa: ARG001 - it needs no database
    described = openapi((entry.name for entry in registered_jobs(jobs)), root_path)
    click.echo(json.dumps(described, indent=2, sort_keys=True))
