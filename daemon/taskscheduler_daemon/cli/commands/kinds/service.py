"""taskscheduler service: lists, starts and stops services, and exchanges values with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import click

from taskscheduler.model.services import RestartPolicy
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.parameters import DATA, DURATION
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import FAILING_LABEL, label_of, look_of, record
from taskscheduler_daemon.presentation.kinds import restart_policy, service_name
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import aligned, iso, json_line, json_pretty, tsv

HELP = """List services, start and stop them, and talk to them.

A service is a job that nodes keep alive: one process in the whole cluster, on any of the nodes.
"""

START_HELP = """Start a service and keep it running.

A service that already runs with the same definition is left alone; with another definition it is replaced.
"""

COLUMNS = ("NAME", "STATE", "STARTS", "RESTART", "NODE", "SINCE", "JOB", "ID")

_NOTHING = object()


@cli_command(
    "service",
    example='taskscheduler service start myapp.Feed \'{"url": "https://example.com"}\'',
    group=True,
    help=HELP,
)
def service(settings: Settings) -> None:
    if click.get_current_context().invoked_subcommand is None:
        _show(settings, Scheduler.services)


@cli_command(
    "list",
    example="taskscheduler service list -o json",
    help="List all services.\n\nTSV has one line for each, JSON the stored documents.",
)
def list_all(settings: Settings) -> None:
    _show(settings, Scheduler.services)


@cli_command(
    "status",
    example="taskscheduler service status feed",
    help="Show one service.\n\nExit code 1 if it neither runs nor is about to start.",
)
@click.argument("name")
def status(settings: Settings, name: str) -> int:
    [process] = _show(settings, lambda scheduler: [scheduler.service(name)])
    return ExitCode.FAILED if process.status.is_final else ExitCode.OK


@cli_command(
    "start", example="taskscheduler service start myapp.Feed --name feed --restart on-failure", help=START_HELP
)
@click.argument("job")
@click.argument("data", type=DATA, required=False)
@click.option("--name", help="Unique name of the service.  [default: that of the job]")
@click.option(
    "--restart",
    type=click.Choice([str(policy) for policy in RestartPolicy]),
    help="When to start it again.  [default: always]",
)
@click.option("--restart-interval", type=DURATION, help="Pause before a restart.  [default: 1s]")
@click.option("--restart-interval-max", type=DURATION, help="Longest pause after repeated failures.  [default: 60s]")
@click.option("--stop-soft", type=DURATION, help="Time to end by itself before it is interrupted.  [default: 5s]")
@click.option("--stop-hard", type=DURATION, help="Time to end before it is killed.  [default: 10s]")
@click.option("--queue", metavar="NAME", help="Queue whose nodes may run it.")
@click.option("--priority", type=int, help="Higher numbers run first within a queue.")
@click.option("--silence-timeout", type=DURATION, help="Longest time without a sign of life.")
@click.option("--tag", "-t", "tags", multiple=True, help="Tag to find it by; repeatable.")
@REASON
def start(settings: Settings, job: str, data: Any, **given: Any) -> None:
    options = {name: value for name, value in given.items() if value not in (None, ())}
    _show(settings, lambda scheduler: [scheduler.start_service(job, data, **options)])


@cli_command(
    "stop", example="taskscheduler service stop feed", help="Stop services and wait until their processes have ended."
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@REASON
def stop(settings: Settings, names: Sequence[str]) -> None:
    _show(settings, lambda scheduler: [scheduler.stop_service(name) for name in _checked(scheduler, names)])


@cli_command(
    "restart", example="taskscheduler service restart feed", help="Stop services and start them again at once."
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@REASON
def restart(settings: Settings, names: Sequence[str]) -> None:
    _show(settings, lambda scheduler: [scheduler.restart_service(name) for name in _checked(scheduler, names)])


@cli_command(
    "send",
    example="taskscheduler service send feed '{\"refresh\": true}'",
    output=False,
    help="Send a value to a service.\n\nVALUE is JSON; - reads it from standard input.",
)
@click.argument("name")
@click.argument("value", type=DATA)
@REASON
def send(settings: Settings, name: str, value: Any) -> None:
    with open_database(settings) as database:
        database.scheduler.send(name, value)


@cli_command(
    "receive",
    example="taskscheduler service receive feed --timeout 10s",
    output=False,
    help="Print the oldest value from a service.\n\nPrints JSON. Exit code 124 if no value came in time.",
)
@click.argument("name")
@click.option("--timeout", type=DURATION, help="Give up after this long.  [default: never]")
def receive(settings: Settings, name: str, timeout: float | None) -> int:
    with open_database(settings) as database:
        value = database.scheduler.receive(name, timeout, _NOTHING)
    if value is _NOTHING:
        remark(f"taskscheduler: service {clean(name)!r} has sent nothing within {timeout:g} s")
        return ExitCode.TIMED_OUT
    say(json_line(value))
    return ExitCode.OK


command = cast("click.Group", service)

for _subcommand in (list_all, status, start, stop, restart, send, receive):
    command.add_command(_subcommand)


def _checked(scheduler: Scheduler, names: Sequence[str]) -> Sequence[str]:
    """Returns the names if all of them are services, so that a wrong one does not leave the work half done."""
    for name in names:
        scheduler.service(name)
    return names


def _show(settings: Settings, find: Callable[[Scheduler], list[Process]]) -> list[Process]:
    with open_database(settings) as database:
        processes = find(database.scheduler)
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(process) for process in processes]))
    elif form in ("ndjson", "id"):
        for process in processes:
            say(json_line(record(process)) if form == "ndjson" else process.id_text)
    else:
        rows = [COLUMNS, *(_row(process) for process in processes)]
        if form == "table":
            _draw(settings, processes, [[clean(cell) for cell in row] for row in rows])
        else:
            for row in rows:
                say(tsv(row))
    return processes


def _draw(settings: Settings, processes: Sequence[Process], rows: list[list[str]]) -> None:
    """Prints the services; one that fails again and again says so, in the colour of failure."""
    for row, process in zip(rows[1:], processes, strict=True):
        row[1] = label_of(process)
    lines = aligned(rows)
    say(lines[0])
    for line, process in zip(lines[1:], processes, strict=True):
        say(settings.paint(line, look_of(process).color) if label_of(process) == FAILING_LABEL else line)


def _row(process: Process) -> tuple[str, ...]:
    return (
        service_name(process),
        process.status.label,
        str(process.attempt),
        restart_policy(process),
        process.node or "",
        iso(process.started),
        process.job,
        process.id_text,
    )
