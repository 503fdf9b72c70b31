"""taskscheduler dev: runs a node and the web pages, and the embedded server if no other is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.nodes.node import serve
from taskscheduler_daemon.cli.database import chosen_place, chosen_uri, described, given_uri
from taskscheduler_daemon.cli.dev_pages import can_serve, dev_pages
from taskscheduler_daemon.cli.input.node_options import given_options, node_options
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.presentation.next_step import pasteable, same_database
from taskscheduler_daemon.presentation.terminal import remark, say

HELP = """Run a node and the web pages for development until Ctrl-C.

It prints the database, the address of the pages, commands to go on with, and what jobs print. Without a URI, it uses
the embedded server of this user, with a database for this project. The server stops at the end, unless other programs
use it.
"""


@cli_command("dev", example="taskscheduler dev --jobs myapp.jobs", output=False, help=HELP)
@node_options
def command(settings: Settings, **given: Any) -> int:
    log_to_stderr(settings.verbose)
    options = {"echo": True, **given_options(given)}
    modules: Sequence[str] = options.get("jobs", ())
    place = chosen_place(settings)
    with ExitStack() as stack:
        uri = stack.enter_context(chosen_uri(settings))
        say(described(place))
        if can_serve():
            say(f"web pages: {stack.enter_context(dev_pages(settings, uri, modules))}")
        else:
            remark("no web pages: they need the extra web, pip install 'mongo-taskscheduler[web]'")
        _name_next_steps(settings, modules)
        return serve(Scheduler(place, options=settings.collections), options)


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
