"""The options that say who may use the web pages, besides a token for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.audit.actions import Role
from taskscheduler_daemon.web.http.access.policies import Access, ProxyAccess, SharedToken, UserAccess
from taskscheduler_daemon.web.http.access.users import UsersFile
from taskscheduler_daemon.web.http.access.visits import LOOPBACK, networks

_HEADER = re.compile(r"[A-Za-z0-9-]+")

_OPTIONS = (
    click.option(
        "--users", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", envvar="TASKSCHEDULER_WEB_USERS",
        help="File of users who log in, each with a role; see taskscheduler web-user.",
    ),
    click.option(
        "--proxy-user-header", metavar="NAME", envvar="TASKSCHEDULER_WEB_PROXY_USER_HEADER",
        help="Header in which a proxy says which user it has checked, such as X-Forwarded-User.",
    ),
    click.option(
        "--proxy-role-header", metavar="NAME", envvar="TASKSCHEDULER_WEB_PROXY_ROLE_HEADER",
        help="Header with roles or groups of that user; without it the file of users says the role, else viewer.",
    ),
    click.option(
        "--proxy-role", "proxy_roles", multiple=True, metavar="GROUP=ROLE", envvar="TASKSCHEDULER_WEB_PROXY_ROLE",
        help="Role of who is in a group of that header; repeatable. Without it the header has names of roles.",
    ),
    click.option(
        "--proxy-from", multiple=True, metavar="ADDRESS", envvar="TASKSCHEDULER_WEB_PROXY_FROM",
        help="Address or network of the proxy, which is believed; repeatable.  [default with --proxy-user-header: "
        "loopback]",
    ),
)  # fmt: skip


def access_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a command with these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen_access(
    token: str | None,
    users: Path | None,
    proxy_user_header: str | None,
    proxy_role_header: str | None,
    proxy_roles: Sequence[str],
    proxy_from: Sequence[str],
) -> Access:
    """Returns how it is known who sends a request; UsageError for options that exclude each other or mean nothing."""
    if token and (users or proxy_user_header):
        raise click.UsageError("give a token for all, or --users or --proxy-user-header, not both")
    if not proxy_user_header and (proxy_role_header or proxy_roles):
        raise click.UsageError("--proxy-role-header and --proxy-role mean nothing without --proxy-user-header")
    if proxy_roles and not proxy_role_header:
        raise click.UsageError("--proxy-role means nothing without --proxy-role-header")
    for option, name in (("--proxy-user-header", proxy_user_header), ("--proxy-role-header", proxy_role_header)):
        if name and not _HEADER.fullmatch(name):
            raise click.UsageError(f"{option} takes the name of a header, such as X-Forwarded-User, not {name!r:.80}")
    proxies, file = networks("--proxy-from", proxy_from), None if users is None else UsersFile(users)
    if file is not None:
        file.users()  # refused at the start, not at the first request
    if proxy_user_header:
        roles = dict(map(_role, proxy_roles)) or None
        return ProxyAccess(proxy_user_header, proxy_role_header, roles, proxies or LOOPBACK, file)
    return SharedToken(token, proxies) if file is None else UserAccess(file, proxies)


def _role(text: str) -> tuple[str, Role]:
    group, separator, name = text.rpartition("=")
    if not separator or not group.strip():
        raise InvalidOptionError(f"--proxy-role takes GROUP=ROLE, such as ops=operator, not {text!r:.80}")
    return group.strip(), Role.of("--proxy-role", name.strip())
