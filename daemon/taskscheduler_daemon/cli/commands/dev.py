"""taskscheduler dev: runs a node, and the embedded server if no other is given."""

from __future__ import annotations

from typing import Any

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.node import serve
from taskscheduler_daemon.cli.database import chosen_uri, given_uri
from taskscheduler_daemon.cli.input.node_options import given_options, node_options
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import shown

HELP = """Run a node for development until Ctrl-C, and print the URI of its database.

Without a URI, it uses the embedded server of this user. The server stops at the end, unless other programs use it.
"""


@cli_command("dev", output=False, help=HELP)
@node_options
def command(settings: Settings, **given: Any) -> int:
    log_to_stderr(settings.verbose)
    options = given_options(given)
    with chosen_uri(settings) as uri:
        say(shown(uri))
        # other commands of this user find the embedded server by themselves
        uri_option = "" if given_uri(settings) is None else f" -u '{shown(uri)}'"
        remark(
            f"from another terminal: taskscheduler{uri_option} add NAME '{{\"key\": 1}}', list, status; Ctrl-C stops"
        )
        if "jobs" not in options:
            remark("no job modules are loaded: name them with --jobs yourapp.jobs")
        return serve(Scheduler(uri, options=settings.collections), options)
