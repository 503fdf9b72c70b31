"""The group of all commands: loads the one that is called, and prints every error as one line."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from taskscheduler_daemon.cli.command import CONTEXT, global_options
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean_lines
from taskscheduler_daemon.presentation.terminal import one_line, remark

_PACKAGE = "taskscheduler_daemon.cli"

#: name: what `--help` says; a command's module in `commands` is imported when it is called, as pymongo loads slowly
COMMANDS = {
    "add": "Add a job.",
    "list": "List jobs, newest first.",
    "show": "Show everything about one job.",
    "wait": "Wait until jobs have ended, with progress bars.",
    "cancel": "Cancel jobs and the runs that would follow them.",
    "retry": "Put jobs that have ended back in the queue.",
    "edit": "Set the status of a job to waiting or canceled.",
    "delete": "Delete single jobs.",
    "delete-old": "Delete jobs that ended some time ago.",
    "end-silent": "Mark tracked programs that stopped reporting as timed out.",
    "exec": "Run a command and record it as a job.",
    "flush": "Delete all jobs, or all of one class or queue.",
    "restore": "Requeue jobs held by lost nodes.",
    "jobs": "Show the jobs that modules register.",
    "counts": "Count jobs per class or queue, and status.",
    "listen": "Follow all status changes.",
    "status": "Show nodes, workers, queues and counts on one screen.",
    "doctor": "Check everything that jobs depend on, and suggest cures.",
    "bench": "Measure how fast this database adds and runs jobs.",
    "service": "List, start, stop and talk to services.",
    "node": "Run a queue node, or stop one.",
    "web": "Serve the web pages and the webservice.",
    "dev": "Run a node for development, with an embedded server.",
    "demo": "Run sample jobs in every state.",
}

ALIASES = {"ls": "list"}


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Imports and returns a command, or None if there is none of this name."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        found = importlib.import_module(f"{_PACKAGE}.commands.{name.replace('-', '_')}").command
        return found if isinstance(found, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command of the arguments; suggests the nearest one if it does not exist."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], [*COMMANDS, *ALIASES], n=1)
            if not near:
                raise
            text = f"{error.message.rstrip('.')}; did you mean {near[0]}?"
            raise click.UsageError(text, error.ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; a reader that closes the pipe is not an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # the reader has seen enough; the rest of the buffer must not raise at exit, either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings=dict(CONTEXT))
@click.version_option(package_name="mongo-taskscheduler", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Clustered job scheduling on MongoDB.

    Without a URI, commands use the embedded server of this user. The environment can set every option as
    TASKSCHEDULER_<OPTION>, for example TASKSCHEDULER_URI or TASKSCHEDULER_STOP_TIMEOUT. Durations are seconds, or
    90s, 5m, 1h30m, 2d. In a pipe, the output is TSV.

    Exit codes: 0 ok, 1 a job failed or only a part was done, 2 usage, 3 not found, 4 database unreachable, 5 refused,
    75 a solo program runs already, 124 wait timed out, 130 Ctrl-C.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.params += global_options(from_environment=True)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    settings = Settings()
    try:
        code = cli.main(arguments, prog_name="taskscheduler", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.Abort:
        return 130
    except click.ClickException as error:
        return _refused(error)
    except Exception as error:
        if settings.verbose:
            for line in clean_lines(traceback.format_exc()):
                remark(line)
        return _failed(error)


def _refused(error: click.ClickException) -> int:
    path, hint = "taskscheduler", ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
        hint = f" (see {path} --help)"
    remark(f"{path}: {one_line(error.format_message()).rstrip('.')}{hint}")
    return error.exit_code


def _failed(error: Exception) -> int:
    code, line = importlib.import_module(f"{_PACKAGE}.exit_codes").failure(error)
    remark(f"taskscheduler: {line}")
    return int(code)
