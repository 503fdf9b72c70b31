"""Decides what `taskscheduler dev` sets up: a server if none is given, a node, and how others get to it."""

from __future__ import annotations

from typing import Any

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.node import serve
from taskscheduler_daemon.cli.database import chosen_uri, given_uri
from taskscheduler_daemon.cli.input.node_options import chosen, node_options
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import shown

HELP = """Run a node for development until Ctrl-C.

Without a URI it uses the embedded server of this user and stops it at the end, unless others use it. Prints the URI.
"""


@cli_command("dev", output=False, help=HELP)
@node_options
def command(settings: Settings, **given: Any) -> int:
    log_to_stderr(settings.verbose)
    options = chosen(given)
    with chosen_uri(settings) as uri:
        say(shown(uri))
        # other commands of this user find the embedded server by themselves
        other = "" if given_uri(settings) is None else f" -u '{shown(uri)}'"
        remark(f"from another terminal: taskscheduler{other} add NAME '{{\"key\": 1}}', list, status; Ctrl-C stops")
        if "jobs" not in options:
            remark("no job modules are loaded: name them with --jobs yourapp.jobs")
        return serve(Scheduler(uri), options)
