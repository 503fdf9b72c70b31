"""Decides which commands there are, loads the one that is called, and turns every error into one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from taskscheduler_daemon.cli.command import CONTEXT, global_options
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import one_line, remark

_PACKAGE = "taskscheduler_daemon.cli"

#: name: what `--help` says; the module in `commands` is imported when its command is called, as pymongo takes a while
COMMANDS = {
    "add": "Add a job.",
    "list": "List jobs, the newest first.",
    "show": "Show everything about one job.",
    "wait": "Wait until jobs have ended, with progress bars.",
    "cancel": "Cancel jobs: queued, they never start; running, they are killed.",
    "retry": "Let jobs that have ended run once more.",
    "edit": "Give a job another status: waiting or canceled.",
    "delete": "Delete single jobs.",
    "delete-old": "Delete the jobs that ended some time ago.",
    "end-silent": "End the records of programs that have fallen silent.",
    "exec": "Run a command as a job that keeps record of itself.",
    "flush": "Delete all jobs, or all of one class or queue.",
    "restore": "Let jobs wait again that lost nodes hold.",
    "jobs": "Show the jobs that modules register.",
    "counts": "Count the jobs per class and status.",
    "listen": "Follow all changes of status.",
    "status": "Show nodes, workers, queues and counts on one screen.",
    "doctor": "Check everything that jobs depend on, and say what helps.",
    "bench": "Measure how fast this database adds and runs jobs.",
    "service": "List, start, stop and talk to services, which are kept alive.",
    "node": "Run a queue node, or stop one.",
    "web": "Serve the web pages and the webservice.",
    "dev": "Run a node for development, with an embedded server.",
    "demo": "Run sample jobs in every state.",
}
ALIASES = {"ls": "list"}


class LazyGroup(click.Group):
    """A group that imports the module of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        found = importlib.import_module(f"{_PACKAGE}.commands.{name.replace('-', '_')}").command
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # whoever read our output has seen enough; what is left in the buffer must not raise at exit, either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings=dict(CONTEXT))
@click.version_option(package_name="mongo-taskscheduler", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Clustered job scheduling on MongoDB.

    Without a URI the embedded server of this user is used. Every option can also be set in the environment as
    TASKSCHEDULER_<OPTION>, for example TASKSCHEDULER_URI or TASKSCHEDULER_STOP_TIMEOUT. Durations are seconds, or
    90s, 5m, 1h30m, 2d. When the output is not a terminal, it is TSV.

    Exit codes: 0 ok, 1 a job failed or only a part was done, 2 usage, 3 not found, 4 database unreachable, 5 refused,
    75 a solo program runs already, 124 wait timed out, 130 Ctrl-C.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.params += global_options(from_environment=True)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
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
            traceback.print_exc()
        return _failed(error)


def _refused(error: click.ClickException) -> int:
    path, hint = "taskscheduler", ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
        hint = f" (see {path} --help)"
    remark(f"{path}: {one_line(error.format_message()).rstrip('.')}{hint}")
    return error.exit_code


def _failed(error: Exception) -> int:
    code, what = importlib.import_module(f"{_PACKAGE}.exit_codes").failure(error)
    remark(f"taskscheduler: {what}")
    return int(code)
