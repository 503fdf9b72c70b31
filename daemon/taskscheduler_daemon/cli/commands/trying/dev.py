"""taskscheduler dev: runs a node and the web pages, and the embedded server if no other is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from taskscheduler.connection import URI_VARIABLE
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.nodes.node import serve
from taskscheduler_daemon.cli.database import chosen_place, chosen_uri, described, given_uri
from taskscheduler_daemon.cli.dev_pages import DevPages, can_serve
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.node_options import as_arguments, given_options, node_options
from taskscheduler_daemon.cli.reloading.reloader import NodeCommand, Reloader
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.presentation.next_step import pasteable, same_database
from taskscheduler_daemon.presentation.terminal import remark, say

_MORE = 10.0  #: seconds beyond --stop-timeout that a node may take to end

#: options of `taskscheduler node` that its environment might set, and that `dev` has not
_NOT_FOR_US = {f"TASKSCHEDULER_{name}": "" for name in ("EMBEDDED", "PIDFILE", "DAEMONIZE", "LOG_FILE")}

HELP = """Run a node and the web pages for development until Ctrl-C.

It prints the database, the address of the pages, commands to go on with, and what jobs print. Without a URI, it uses
the embedded server of this user, with a database for this project. The server stops at the end, unless other programs
use it.

With --reload, the node restarts when a file changes that the modules of --jobs were loaded from, or what they import;
installed packages do not count. Running jobs get --stop-timeout to finish. If a file is broken, no node runs until it
changes again.
"""


@cli_command("dev", example="taskscheduler dev --jobs myapp.jobs --reload", output=False, help=HELP)
@node_options
@click.option("--reload", is_flag=True, help="Restart the node when a file of the job modules changes.")
def command(settings: Settings, reload: bool, **given: Any) -> int:
    log_to_stderr(settings.verbose)
    options = {"echo": True, **given_options(given)}
    modules: Sequence[str] = options.get("jobs", ())
    if reload and not modules:
        raise click.UsageError("--reload needs the modules to watch: --jobs yourapp.jobs")
    place = chosen_place(settings)
    with ExitStack() as stack:
        uri = stack.enter_context(chosen_uri(settings))
        say(described(place))
        pages = stack.enter_context(DevPages(settings, uri)) if can_serve() else None
        if pages is None:
            remark("no web pages: they need the extra web, pip install 'mongo-taskscheduler[web]'")
        else:
            say(f"web pages: {pages.address}")
            if not reload:
                stack.enter_context(pages.serve(modules))
        _name_next_steps(settings, modules)
        if not reload:
            return serve(Scheduler(place, options=settings.collections), options)
        Reloader(modules, _node_command(settings, uri, given), pages).run()
        return ExitCode.OK


def _node_command(settings: Settings, uri: str, given: dict[str, Any]) -> NodeCommand:
    """Returns how to start a node in another process with the options that were given to this one."""
    echo = ["--echo"] if given["echo"] is None else []
    arguments = [*as_arguments(given), *echo, *_collections(settings), *(["--verbose"] if settings.verbose else [])]
    stop = given["stop_timeout"] if given["stop_timeout"] is not None else NodeOptions().stop_timeout
    return NodeCommand(arguments, {URI_VARIABLE: uri, **_NOT_FOR_US}, stop + _MORE)


def _name_next_steps(settings: Settings, modules: Sequence[str]) -> None:
    if not modules:
        remark("no job modules are loaded: name them with --jobs yourapp.jobs")
    uri = given_uri(settings)
    environment = same_database(uri)
    there = "" if uri is None or environment else " where TASKSCHEDULER_URI is set"
    remark(f"Ctrl-C stops it. Next, in another terminal{there}:")
    if modules:
        remark(f"  {pasteable(['jobs', *(f'--jobs={name}' for name in modules)], {}, Path.cwd())}")
    remark(f"  {pasteable(['list', '--all', *_collections(settings)], environment, Path.cwd())}")


def _collections(settings: Settings) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.collections.items()]
