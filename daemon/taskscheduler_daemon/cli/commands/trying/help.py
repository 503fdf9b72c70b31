"""taskscheduler help: prints the help of all commands, or of one."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import say_lines

HELP = """Show the help of a command, or of all commands."""


@cli_command("help", example="taskscheduler help service start", output=False, help=HELP)
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
def command(settings: Settings, names: Sequence[str]) -> None:  # noqa: ARG001 - every command gets the settings
    context = click.get_current_context().find_root()
    for name in names:
        group = context.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{context.command_path} has no commands of its own")
        _, found, _ = group.resolve_command(context, [name])
        context = click.Context(found or group, parent=context, info_name=name)
    say_lines(context.get_help())
