"""taskscheduler completion: prints the script with which a shell completes commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.settings import Settings

HELP = """Print the script with which bash, zsh or fish completes this command.

It completes commands, options, files, and values such as the statuses. It asks no database, so it does not know your
jobs. For bash and zsh, add a line to ~/.bashrc, or to ~/.zshrc below compinit. fish wants a file:

\b
eval "$(taskscheduler completion bash)"
eval "$(taskscheduler completion zsh)"
taskscheduler completion fish > ~/.config/fish/completions/taskscheduler.fish
"""

SHELLS = ("bash", "zsh", "fish")


@cli_command("completion", example="taskscheduler completion bash", output=False, help=HELP)
@click.argument("shell", type=click.Choice(SHELLS), metavar="|".join(SHELLS))
def command(settings: Settings, shell: str) -> None:  # noqa: ARG001 - every command gets the settings
    root = click.get_current_context().find_root()
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click completes nothing in {shell}")
    name = root.info_name or "taskscheduler"
    # not the method of the class for bash, which starts a bash to look at its version
    click.echo(ShellComplete.source(found(root.command, {}, name, f"_{name.upper()}_COMPLETE")), nl=False)
