"""The option `--reason` of commands that change something: it is in the audit log, under who runs the command."""

from __future__ import annotations

from typing import Any

import click

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.changes import reason_option
from taskscheduler_daemon.cli.settings import Settings


def _store(context: click.Context, option: click.Parameter, value: Any) -> None:
    try:
        context.ensure_object(Settings).reason = reason_option(value)
    except InvalidOptionError as error:
        raise click.BadParameter(str(error), context, option) from error


#: decorates a command whose operation takes no reason itself
REASON = click.option(
    "--reason", metavar="TEXT", expose_value=False, callback=_store, help="Why you do this; for the audit log."
)
