"""The group of all commands: loads the one that is called, and prints every error as one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from taskscheduler_daemon.cli.command import CONTEXT, CommandGroup, global_options, nearest
from taskscheduler_daemon.cli.output.connection_remarks import shown_as_remarks
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean_lines
from taskscheduler_daemon.presentation.terminal import one_line, remark

_PACKAGE = "taskscheduler_daemon.cli"

#: what `--help` says of each command, in groups; a command's module in `commands` is imported when it is called, as
#: pymongo loads slowly
GROUPS = {
    "Jobs": {
        "add": "Add a job.",
        "list": "List jobs, newest first.",
        "show": "Show everything about one job.",
        "stack": "Print where a running job is right now.",
        "wait": "Wait until jobs have ended, with progress bars.",
        "logs": "Print what a job has logged and printed.",
        "listen": "Follow all status changes.",
        "counts": "Count jobs per class or queue, and status.",
        "failures": "Count failed jobs by the mistake that made them fail.",
        "jobs": "Show the jobs that modules register.",
    },
    "Change jobs": {
        "cancel": "Cancel jobs and the runs that would follow them.",
        "retry": "Put jobs that have ended back in the queue.",
        "update": "Change a queued job in place.",
        "signal": "Give a job a signal that it waits for.",
        "edit": "Set the status of a job to waiting or canceled.",
        "delete": "Delete jobs.",
        "delete-old": "Delete jobs that ended some time ago.",
        "flush": "Delete all jobs, or all of one class or queue.",
        "restore": "Requeue jobs held by lost nodes.",
    },
    "What may run": {
        "why": "Say why a job does not run, or count jobs by that.",
        "limits": "List, set and delete limits, and show who holds their places.",
        "sequences": "List and release sequences that a failed job blocks.",
        "groups": "List groups that take turns, and set their weights.",
        "pause": "Keep nodes from starting jobs of a queue, class or tag.",
        "resume": "End a pause.",
        "pauses": "List what is paused, by whom and why.",
    },
    "Flows, schedules, services and programs": {
        "flow": "List and show flows, cancel them and retry what failed.",
        "schedule": "List, add, pause and delete schedules.",
        "service": "List, start, stop and talk to services.",
        "exec": "Run a command and record it as a job.",
        "end-silent": "Mark tracked programs that stopped reporting as timed out.",
    },
    "Nodes": {
        "node": "Run a queue node, or stop one.",
        "web": "Serve the web pages and the web service.",
        "openapi": "Print the OpenAPI description of the web service.",
        "mcp": "Let an assistant look at the jobs.",
        "web-user": "List users of the web pages, add and delete them.",
        "audit": "List who did what, when and why.",
        "nodes": "List nodes with their versions, slots and jobs.",
        "top": "Show jobs, queues and nodes live in the terminal.",
        "status": "Show nodes, workers, queues and counts on one screen.",
        "metrics": "Show how many jobs ended, how, and how long they took.",
        "doctor": "Check everything that jobs depend on, and suggest cures.",
        "migrate": "Move an older database to this version.",
        "bench": "Measure how fast this database adds and runs jobs.",
    },
    "Try it": {
        "init": "Write a small project that runs.",
        "dev": "Run a node for development, with an embedded server.",
        "demo": "Run sample jobs in every state.",
        "completion": "Print a script that lets a shell complete commands.",
        "help": "Show the help of a command.",
    },
}

COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}

#: the folder in `commands` with the modules of each group
_FOLDERS = {
    "Jobs": "jobs",
    "Change jobs": "changes",
    "What may run": "control",
    "Flows, schedules, services and programs": "kinds",
    "Nodes": "nodes",
    "Try it": "trying",
}

_MODULES = {
    name: f"{_PACKAGE}.commands.{_FOLDERS[group]}.{name.replace('-', '_')}"
    for group, commands in GROUPS.items()
    for name in commands
}

ALIASES = {"ls": "list"}


class LazyGroup(CommandGroup):
    """A group that imports the module of a command when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Imports and returns a command, or None if there is none of this name."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        found = importlib.import_module(_MODULES[name]).command
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """Writes the commands in their groups, without importing them."""
        widest = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(widest), text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Returns the commands and options that begin like this, without importing the commands."""
        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; a reader that closes the pipe is not an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # the reader has seen enough; the rest of the buffer must not raise at exit, either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings=dict(CONTEXT))
@click.version_option(  # TASKSCHEDULER_VERSION is the option of a node
    package_name="mongo-taskscheduler", message="%(prog)s %(version)s", allow_from_autoenv=False
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Clustered job scheduling on MongoDB.

    \b
    taskscheduler dev --jobs myapp.jobs       # a node to try it with
    taskscheduler add myapp.jobs.Mail --wait  # add a job and wait for it
    taskscheduler help add                    # all about one command

    Without a URI, commands use the embedded server of this user, node only with --embedded; each project has a database
    of its own there. The environment can set every option as TASKSCHEDULER_<OPTION>, for example TASKSCHEDULER_URI or
    TASKSCHEDULER_STOP_TIMEOUT. Durations are seconds, or 90s, 5m, 1h30m, 2d. In a pipe, the output is TSV.

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
        with shown_as_remarks():
            code = cli.main(arguments, prog_name="taskscheduler", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.Abort as error:
        for note in getattr(error.__cause__, "__notes__", ()):
            remark(f"taskscheduler: {note}")
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
    remark(f"{path}: {one_line(_message(error)).rstrip('.')}{hint}")
    return error.exit_code


def _message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"No such option {error.option_name}{nearest(error.option_name, error.possibilities or ())}"
    return error.format_message()


def _failed(error: Exception) -> int:
    code, line = importlib.import_module(f"{_PACKAGE}.exit_codes").failure(error)
    remark(f"taskscheduler: {line}")
    return int(code)
