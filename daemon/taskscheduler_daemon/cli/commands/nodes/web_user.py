"""taskscheduler web-user: lists users of the web pages, adds, changes and deletes them, in their file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, cast

import click

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.audit.actions import Role
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import aligned
from taskscheduler_daemon.web.http.access.passwords import LEAST, MOST, hashed, new_token, token_hash
from taskscheduler_daemon.web.http.access.users import User, changing, check_name, read_users

HELP = """List users of the web pages; add, change and delete them.

They are in a file that only its owner may read: --users, or TASKSCHEDULER_WEB_USERS. taskscheduler web --users FILE
serves the pages to them, and sees changes at once. Roles: a viewer reads, an operator also cancels, retries and pauses,
an admin also adds, deletes and sets limits.
"""

FILE = click.option(
    "--users", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE",
    envvar="TASKSCHEDULER_WEB_USERS", help="File of users.",
)  # fmt: skip

ROLE = click.option("--role", type=click.Choice([role.label for role in Role]), required=True, help="What it may do.")

PASSWORD = click.option(
    "--password-file", "file", type=click.File(encoding="utf-8"),
    help="File with the password; - reads it from standard input. Without it you are asked.",
)  # fmt: skip


@cli_command(
    "web-user", example="taskscheduler web-user add ana --role operator --users users.json", group=True, output=False,
    help=HELP,
)  # fmt: skip
def web_user(settings: Settings) -> None:  # noqa: ARG001 - every command gets them
    if click.get_current_context().invoked_subcommand is None:
        click.echo(click.get_current_context().get_help())


def _command(name: str, example: str, text: str) -> Callable[[Callable[..., Any]], click.Command]:
    return cli_command(name, example=f"taskscheduler web-user {example} --users users.json", output=False, help=text)


@_command("list", "list", "List users with their roles and the names of their tokens.")
@FILE
def list_all(settings: Settings, path: Path) -> None:
    users = read_users(path).values()
    rows = [(user.name, user.role.label, "yes" if user.password else "no", " ".join(user.tokens)) for user in users]
    header, *lines = aligned([("NAME", "ROLE", "PASSWORD", "TOKENS"), *rows])
    say(settings.paint(header, bold=True))
    for line in lines:
        say(line)


@_command("add", "add ana --role operator", "Add a user with a password.\n\nExit code 5 if there is one of this name.")
@click.argument("name")
@ROLE
@PASSWORD
@click.option("--no-password", is_flag=True, help="Only tokens, or a proxy that says who it is.")
@FILE
def add(settings: Settings, name: str, role: str, file: TextIO | None, no_password: bool, path: Path) -> int:  # noqa: ARG001
    password = None if no_password else hashed(_password(file))
    with changing(path) as users:
        if check_name(name) in users:
            remark(f"taskscheduler: there is a user {name} already; change it with web-user role or web-user password")
            return ExitCode.REFUSED
        users[name] = User(name, Role.of("role", role), password)
    say(f"user {name} added as {role}")
    return ExitCode.OK


@_command("role", "role ana --role admin", "Change what a user may do. It holds at once.")
@click.argument("name")
@ROLE
@FILE
def change_role(settings: Settings, name: str, role: str, path: Path) -> int:  # noqa: ARG001
    return _change(path, name, lambda user: replace(user, role=Role.of("role", role)))


@_command("password", "password ana", "Change the password of a user. It ends the sessions of that user.")
@click.argument("name")
@PASSWORD
@FILE
def change_password(settings: Settings, name: str, file: TextIO | None, path: Path) -> int:  # noqa: ARG001
    password = hashed(_password(file))
    return _change(path, name, lambda user: replace(user, password=password))


@_command("token", "token ana --name ci", "Make a token for programs of a user, and print it once.")
@click.argument("name")
@click.option("--name", "label", default="token", show_default=True, help="Name of the token; the same replaces it.")
@FILE
def make_token(settings: Settings, name: str, label: str, path: Path) -> int:  # noqa: ARG001
    token, label = new_token(), check_name(label)
    made = token_hash(token.encode())
    code = _change(path, name, lambda user: replace(user, tokens={**user.tokens, label: made}))
    if code == ExitCode.OK:
        say(token)
    return code


@_command("revoke", "revoke ana --name ci", "Delete a token of a user.")
@click.argument("name")
@click.option("--name", "label", default="token", show_default=True, help="Name of the token.")
@FILE
def revoke(settings: Settings, name: str, label: str, path: Path) -> int:  # noqa: ARG001
    return _change(
        path, name, lambda user: replace(user, tokens={one: made for one, made in user.tokens.items() if one != label})
    )


@_command("delete", "delete ana", "Delete users. Their sessions and tokens end at once.")
@click.argument("name")
@FILE
def delete(settings: Settings, name: str, path: Path) -> int:  # noqa: ARG001
    with changing(path) as users:
        if users.pop(name, None) is None:
            return _missing(name)
    return ExitCode.OK


def _change(path: Path, name: str, changed: Callable[[User], User]) -> int:
    with changing(path) as users:
        if name not in users:
            return _missing(name)
        users[name] = changed(users[name])
    return ExitCode.OK


def _missing(name: str) -> int:
    remark(f"taskscheduler: there is no user {name!r:.80}; list them with: taskscheduler web-user list")
    return ExitCode.NOT_FOUND


def _password(file: TextIO | None) -> str:
    """Returns a password that was asked for or read; never one of the command line, which others can see."""
    if file is not None:
        password = file.readline(MOST + 2).rstrip("\r\n")
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        raise click.UsageError(
            "there is no terminal to ask for the password; give --password-file FILE, or - for stdin"
        )
    if not LEAST <= len(password) <= MOST:
        raise InvalidOptionError(f"a password must have {LEAST} to {MOST} characters, not {len(password)}")
    return password


command = cast("click.Group", web_user)

for _subcommand in (list_all, add, change_role, change_password, make_token, revoke, delete):
    command.add_command(_subcommand)
