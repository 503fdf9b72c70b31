"""taskscheduler web: serves the web pages and the web service; beyond loopback only with a token."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.command import on_command_line
from taskscheduler_daemon.cli.database import serve_database
from taskscheduler_daemon.cli.input.access import access_options, chosen_access
from taskscheduler_daemon.cli.input.job_modules import registered_jobs
from taskscheduler_daemon.cli.input.parameters import ROOT_PATH, PortOption
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.presentation.terminal import remark
from taskscheduler_daemon.system.log_files import remember_log_files, reopen_log_files
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http.access_control import is_loopback
from taskscheduler_daemon.web.http.server import web_server

_LONGEST_TOKEN = 4096

HELP = """Serve the web pages and the web service until SIGTERM or Ctrl-C.

The web service adds only jobs that the modules of --jobs register. With a token, programs send "Authorization: Bearer
TOKEN", and browsers ask for the token as the password of any user. With --users, each user logs in and has a role. With
--proxy-user-header, a proxy says who it is. Without any of them it listens on loopback only.

It speaks plain HTTP: put a TLS proxy before it where others could read along. GET /openapi.json describes the web
service. After a rotation of its log file, SIGHUP opens the file again.
"""


@cli_command("web", example="taskscheduler web --jobs myapp.jobs --port 8080", output=False, help=HELP)
@click.option(
    "--host", default="127.0.0.1", show_default=True, envvar="TASKSCHEDULER_WEB_HOST", help="Address to listen on."
)
@click.option(
    "--port", cls=PortOption, type=click.IntRange(0, 65535), default=8080, show_default=True,
    envvar="TASKSCHEDULER_WEB_PORT", help="Port to listen on; 0: any free port.",
)  # fmt: skip
@click.option(
    "--token",
    envvar="TASKSCHEDULER_WEB_TOKEN",
    help="Token that every request needs; better set TASKSCHEDULER_WEB_TOKEN, or use --token-file.",
)
@click.option(
    "--token-file", type=click.File(encoding="utf-8"), envvar="TASKSCHEDULER_WEB_TOKEN_FILE",
    help="File with the token; - reads it from standard input.",
)  # fmt: skip
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", envvar="TASKSCHEDULER_WEB_ALLOW_HOST",
    help="Host name of requests, besides localhost and IP addresses; repeatable.",
)  # fmt: skip
@click.option(
    "--root-path", type=ROOT_PATH, default="", metavar="PATH", envvar="TASKSCHEDULER_WEB_ROOT_PATH",
    help="Path under which a proxy serves this, such as /scheduler; it may keep the path or strip it.",
)  # fmt: skip
@access_options
@click.option("--jobs", multiple=True, metavar="MODULE", help="Module that registers jobs; repeatable, or a,b.")
@click.option("--fd", type=int, hidden=True, allow_from_autoenv=False, help="Inherited socket that listens already.")
def command(
    settings: Settings,
    host: str,
    port: int,
    token: str | None,
    token_file: TextIO | None,
    names: Sequence[str],
    root_path: str,
    jobs: Sequence[str],
    fd: int | None,
    **given: Any,
) -> None:
    access = chosen_access(_checked_token(token, token_file), **given)
    if not access.is_guarded and not is_loopback(host):
        raise click.UsageError(
            f"other machines can reach {host}: set TASKSCHEDULER_WEB_TOKEN, or leave out --host; --users FILE and "
            "--proxy-user-header guard it, too"
        )
    if remember_log_files():
        signal.signal(signal.SIGHUP, lambda *_: reopen_log_files())
    signal.signal(signal.SIGTERM, _exit)  # the server raises it again when it has finished its requests
    names_of_jobs = [entry.name for entry in registered_jobs(jobs)]
    with serve_database(settings) as database, _listening(host, port, fd) as server_socket:
        database.overview.server()
        app = create_app(database.scheduler, names_of_jobs, hosts=[host, *names], root=root_path, access=access)
        if fd is None:
            remark(f"taskscheduler: http://{_address(host, server_socket.getsockname()[1])}{root_path}/")
        log_to_stderr(settings.verbose)
        with suppress(KeyboardInterrupt):
            web_server(app, settings.verbose).run(sockets=[server_socket])


def _checked_token(token: str | None, file: TextIO | None) -> str | None:
    """Returns the token without blanks around it; refuses one of blanks alone, which nobody can send."""
    if token is not None and file is not None:
        raise click.UsageError("give --token or --token-file, not both")
    if token is not None and on_command_line(click.get_current_context(), "token"):
        remark(
            "taskscheduler: every user of this host can read the token in --token; "
            "set TASKSCHEDULER_WEB_TOKEN or use --token-file instead"
        )
    given = file.read(_LONGEST_TOKEN + 1) if file is not None else token
    if given is None:
        return None
    if not given.strip() or len(given) > _LONGEST_TOKEN:
        raise click.UsageError(f"the token must have 1 to {_LONGEST_TOKEN} characters besides blanks")
    return given.strip()


def _listening(host: str, port: int, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        host.encode("idna")  # create_server would leave its socket open
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (")[0]
        raise click.UsageError(f"cannot listen on {_address(host, port)}: {reason}; see --host and --port") from error


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _exit(*_: object) -> None:
    sys.exit(0)
