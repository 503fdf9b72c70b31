"""Decides how `taskscheduler web` listens: on loopback, and elsewhere only with a token."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import click
import uvicorn

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.input.job_modules import registered
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.presentation.terminal import remark
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http.middleware import is_loopback

HELP = """Serve the web pages and the webservice until SIGTERM or Ctrl-C.

Only jobs that the modules of --jobs register can be added through it. With a token, programs send it as
"Authorization: Bearer TOKEN", and browsers ask for it as the password of any user. Without one it listens on this
machine only. It speaks plain HTTP: put a proxy that speaks TLS before it where others could listen. GET /openapi.json
describes the webservice.
"""


@cli_command("web", output=False, help=HELP)
@click.option("--host", default="127.0.0.1", show_default=True, envvar="TASKSCHEDULER_WEB_HOST", help="Address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, envvar="TASKSCHEDULER_WEB_PORT")
@click.option(
    "--token", envvar="TASKSCHEDULER_WEB_TOKEN", help="What visitors must know; better set TASKSCHEDULER_WEB_TOKEN."
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", envvar="TASKSCHEDULER_WEB_ALLOW_HOST",
    help="A host name by which it is called, besides localhost and addresses; repeatable.",
)  # fmt: skip
@click.option("--jobs", multiple=True, metavar="MODULE", help="Module whose import registers jobs; repeatable, or a,b.")
def command(
    settings: Settings, host: str, port: int, token: str | None, names: Sequence[str], jobs: Sequence[str]
) -> None:
    if not token and not is_loopback(host):
        raise click.UsageError(f"{host} can be reached by others: set TASKSCHEDULER_WEB_TOKEN, or leave out --host")
    signal.signal(signal.SIGTERM, _end)  # what the server gets it raises again, when it has finished its requests
    names_of_jobs = [entry.name for entry in registered(jobs)]
    with opened(settings) as database, _listening(host, port) as door:
        database.overview.server()
        app = create_app(database.scheduler, names_of_jobs, token, [host, *names])
        remark(f"taskscheduler: http://{_place(host, door.getsockname()[1])}/")
        log_to_stderr(settings.verbose)
        level = "info" if settings.verbose else "warning"
        config = uvicorn.Config(app, log_config=None, log_level=level, server_header=False, proxy_headers=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[door])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (")[0]
        raise click.UsageError(f"cannot listen on {_place(host, port)}: {reason}; see --host and --port") from error


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _end(*_: object) -> None:
    sys.exit(0)
