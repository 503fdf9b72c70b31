"""taskscheduler init: writes a small project that runs."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.new_project.writing import FILES, write_project
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark, say

HELP = """Write a small project that runs: jobs, a schedule, tests, and a README with the commands to go on with.

FOLDER is made if it is missing; the default is the current one. Nothing is overwritten: if one of the files is there,
no file is written.
"""


@cli_command("init", example="taskscheduler init shop", output=False, help=HELP)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def command(settings: Settings, folder: Path) -> None:  # noqa: ARG001 - every command gets the settings
    write_project(folder)
    for name in FILES:
        say(str(folder / name))
    remark("Next:")
    if folder.resolve() != Path.cwd().resolve():
        remark(f"  cd {shlex.quote(str(folder))}")
    remark("  taskscheduler dev --jobs jobs --reload")
    remark("and in another terminal, in the same folder:")
    remark("""  taskscheduler add jobs.greet '{"name": "Ada"}' --wait""")
    remark("  pytest")
