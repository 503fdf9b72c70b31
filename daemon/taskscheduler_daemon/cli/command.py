"""Gives all commands the global options, before or after their name, and reads options from the environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.core import ParameterSource

from taskscheduler_daemon.cli.settings import COLLECTIONS, FORMS, Settings
from taskscheduler_daemon.presentation.terminal import remark

_PASSWORD = re.compile(r"://[^@/]*:.*@")

PREFIX = "TASKSCHEDULER"

_DEFAULTS = {"job_store": "jobs", "job_queue": "queue", "event_queue": "events"}

_OTHERS = "Collections with names of your own: --job-store and others, see taskscheduler --help."

CONTEXT = {
    "auto_envvar_prefix": PREFIX,
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}


def _store(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Stores a global option in the settings; one after the command's name overrides one before it."""
    settings = context.ensure_object(Settings)
    if option.name == "uri" and _PASSWORD.search(value or "") and on_command_line(context, "uri"):
        remark("taskscheduler: every user of this host can read the password in --uri; set TASKSCHEDULER_URI instead")
    if value and option.name is not None:
        setattr(settings, option.name, value)


def on_command_line(context: click.Context, name: str) -> bool:
    """Returns whether an option stands on the command line, where every user of this host can read it."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def global_options(*, output: bool = True, from_environment: bool = False) -> list[click.Parameter]:
    """Returns the global options. Only the group reads them from the environment, so that it overrides no option."""
    common: dict[str, Any] = {
        "expose_value": False,
        "callback": _store,
        "allow_from_autoenv": from_environment,
    }
    forms = f"{', '.join(FORMS[:-1])} or {FORMS[-1]}; default: table, tsv in a pipe."
    form = click.Option(["-o", "--output"], type=click.Choice(FORMS), metavar="FORM", help=forms, **common)
    return [
        click.Option(["-u", "--uri"], metavar="URI", help="MongoDB URI with a database name.", **common),
        *([form] if output else []),
        *(_collection(name, common) for name in COLLECTIONS),
        click.Option(["--no-color"], is_flag=True, help="No colours, ASCII only.", **common),
        click.Option(["-v", "--verbose"], is_flag=True, help="Log more, and show tracebacks of errors.", **common),
    ]


def _collection(name: str, common: dict[str, Any]) -> click.Option:
    """Returns the option for the name of a collection; few need it, so only the help of the group shows it."""
    shown = common["allow_from_autoenv"]
    text = f"Collection, if the scheduler has another {name} than taskscheduler.{_DEFAULTS[name]}."
    return click.Option([f"--{name.replace('_', '-')}"], metavar="NAME", help=text, hidden=not shown, **common)


class CommandGroup(click.Group):
    """A group that suggests the nearest command if one does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command of the arguments; a UsageError suggests the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError as error:
            text = f"No such command {args[0]!r}{nearest(args[0], self.list_commands(ctx))}"
            raise click.UsageError(text, error.ctx) from error


def nearest(given: str, known: Iterable[str]) -> str:
    """Returns the end of a message that suggests the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(given, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def command(
    name: str, *, example: str, output: bool = True, group: bool = False, **attributes: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Decorates a function as a click command, with the global options after its own; it gets the Settings first.

    The help ends with the example. A `group` may have commands below it, and runs the function when none of them is
    named.
    """
    attributes["epilog"] = f"{_OTHERS}\n\n\b\nExample:\n  {example}"
    if group:
        attributes["invoke_without_command"] = True

    def decorate(function: Callable[..., Any]) -> click.Command:
        body: Callable[..., Any] = click.pass_obj(function)
        kind = CommandGroup if group else click.Command
        made = click.command(name, cls=kind, context_settings=dict(CONTEXT), **attributes)(body)
        made.params += global_options(output=output)
        return made

    return decorate
