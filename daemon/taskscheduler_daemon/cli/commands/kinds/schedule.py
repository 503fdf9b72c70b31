"""taskscheduler schedule: lists, adds, pauses and deletes schedules, and adds runs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import click

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.schedule import Schedule
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.declarations.schedules import SCHEDULES
from taskscheduler.operations.declare_schedules import difference
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.job_modules import registered_jobs
from taskscheduler_daemon.cli.input.parameters import AT, BACKOFF, DATA, DURATION
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.schedule import local, next_lines, record, state_of, times_of, words_of
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, iso, json_line, json_pretty, tsv

HELP = """List schedules, add, pause and delete them.

A schedule adds a run of its job at each time of its timetable: exactly one in the whole cluster.
"""

ADD_HELP = """Add a schedule, or change the one of this name.

JOB is the registered name of a class or function. DATA is JSON; - reads it from standard input.
"""

COLUMNS = ("NAME", "STATE", "TIMES", "NEXT", "LAST", "SKIPPED", "JOB")

_COUNT = 5

_WIDEST = 70  #: characters of the times in a table

_WHY = {
    "remove": "  these modules do not declare it; it stops with the last node that does",
    "taken": "  the database has a schedule of this name, which stays as it is",
}


@cli_command("schedule", example="taskscheduler schedule add poll myapp.Poll --every 5m", group=True, help=HELP)
def schedule(settings: Settings) -> None:
    if click.get_current_context().invoked_subcommand is None:
        _show(settings, lambda scheduler: scheduler.schedules.all())


@cli_command("list", example="taskscheduler schedule list -o json", help="List all schedules.")
def list_all(settings: Settings) -> None:
    _show(settings, lambda scheduler: scheduler.schedules.all())


@cli_command(
    "show",
    example="taskscheduler schedule show nightly-report",
    help="Show everything about one schedule, with its next times.",
)
@click.argument("name")
def show(settings: Settings, name: str) -> None:
    with open_database(settings) as database:
        found = database.scheduler.schedules.get(name)
    if settings.form(piped="table") in ("json", "ndjson"):
        _print(settings, [found])
        return
    for line in _details(found):
        say(clean(line))


@cli_command(
    "add",
    example="taskscheduler schedule add nightly-report myapp.Report --cron '30 2 * * *' --timezone Europe/Zurich",
    help=ADD_HELP,
)
@click.argument("name")
@click.argument("job")
@click.argument("data", type=DATA, required=False)
@click.option("--cron", multiple=True, metavar="EXPR", help="Cron expression of five fields, or @daily; repeatable.")
@click.option("--every", type=DURATION, help="Time between two runs.")
@click.option("--rrule", metavar="RULE", help="Recurrence rule of RFC 5545.")
@click.option("--timezone", metavar="NAME", help="IANA name of the time zone.  [default: UTC]")
@click.option("--seconds", is_flag=True, help="Cron expressions may have six fields, the seconds first.")
@click.option("--exclude", multiple=True, metavar="EXPR", help="Cron expression or date without runs; repeatable.")
@click.option("--start", type=AT, help="First moment: an ISO date with time zone, or from now: 90s, 1h30m.")
@click.option("--end", type=AT, help="Last moment.")
@click.option("--runs", type=int, help="Number of runs at most.")
@click.option("--jitter", type=DURATION, help="Start up to this much later.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "buffer_one", "buffer_all", "cancel_other", "allow"]),
    help="What to do if the run before has not ended.  [default: skip]",
)
@click.option(
    "--missed",
    type=click.Choice(["latest", "all", "skip"]),
    help="Which missed runs to make up for.  [default: latest]",
)
@click.option("--missed-window", type=DURATION, help="Oldest run to make up for.  [default: 1d]")
@click.option("--retry", type=int, help="Number of retries after a failure; -1: no limit.")
@click.option("--retry-interval", type=DURATION, help="Pause before a retry.")
@click.option("--backoff", type=BACKOFF, help="How pauses grow: constant, linear, exponential, or each: 1s,30s,5m.")
@click.option("--retry-interval-max", type=DURATION, help="Longest pause before a retry.  [default: 1d]")
@click.option("--retry-for", type=DURATION, help="No retry begins later than this after the first start.")
@click.option("--start-by", type=DURATION, help="Cancel a run unless it starts within this long.")
@click.option("--timeout", type=DURATION, help="Longest run time.")
@click.option("--priority", type=int, help="Higher numbers run first within a queue.")
@click.option("--queue", metavar="NAME", help="Queue of the runs.")
@click.option("--tag", "-t", "tags", multiple=True, help="Tag to find the runs by; repeatable.")
@REASON
def add(settings: Settings, name: str, job: str, data: Any, **given: Any) -> None:
    options = {key: value for key, value in given.items() if value is not None and value is not False and value != ()}
    for option in ("start", "end"):
        if isinstance(options.get(option), timedelta):
            options[option] = _from_now(option, options[option])
    _show(settings, lambda scheduler: [scheduler.schedules.add(name, job, data, **options)])


@cli_command(
    "pause",
    example="taskscheduler schedule pause poll --reason 'SMTP is down'",
    help="Keep schedules from adding runs; runs that were added go on.",
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Why; everybody sees it.")
def pause(settings: Settings, names: Sequence[str], reason: str | None) -> None:
    _show(settings, lambda scheduler: [scheduler.schedules.pause(name, reason) for name in _checked(scheduler, names)])


@cli_command(
    "resume",
    example="taskscheduler schedule resume poll",
    help="Let paused schedules run again, from their next times on.",
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@REASON
def resume(settings: Settings, names: Sequence[str]) -> None:
    _show(settings, lambda scheduler: [scheduler.schedules.resume(name) for name in _checked(scheduler, names)])


@cli_command(
    "delete",
    example="taskscheduler schedule delete poll",
    output=False,
    help="Delete schedules; their runs stay.",
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@REASON
def delete(settings: Settings, names: Sequence[str]) -> None:
    with open_database(settings) as database:
        for name in _checked(database.scheduler, names):
            database.scheduler.schedules.delete(name)


@cli_command(
    "run",
    example="taskscheduler schedule run nightly-report",
    output=False,
    help="Add one run now, beside the plan, and print its id.",
)
@click.argument("name")
@REASON
def run(settings: Settings, name: str) -> None:
    with open_database(settings) as database:
        say(str(database.scheduler.schedules.run(name).id))


@cli_command(
    "next",
    example="taskscheduler schedule next --cron '30 2 * * *' --timezone Europe/Zurich",
    output=False,
    help="Print the next times of a schedule, as its clocks show them.",
)
@click.argument("name", required=False)
@click.option("--count", "-n", type=click.IntRange(1, 1000), default=_COUNT, help="How many.  [default: 5]")
@click.option("--cron", multiple=True, metavar="EXPR", help="Instead of a schedule: this expression; repeatable.")
@click.option("--timezone", metavar="NAME", default="UTC", help="With --cron: IANA name of the time zone.")
def next_times(settings: Settings, name: str | None, count: int, cron: Sequence[str], timezone: str) -> None:
    if (name is None) is not bool(cron):
        raise click.UsageError("give the name of a schedule, or --cron")
    if name is not None:
        with open_database(settings) as database:
            found = database.scheduler.schedules.get(name)
    else:
        now = SYSTEM_CLOCK.now()
        times = ScheduleOptions.of("preview", {"cron": list(cron), "timezone": timezone}, now)
        found = Schedule({"_id": "preview", "job": {}, "times": times.stored(), "created": now}, now)
    for line in next_lines(found, count):
        say(line)


@cli_command(
    "plan",
    example="taskscheduler schedule plan --jobs myapp.jobs",
    output=False,
    help="Show what job modules would change.\n\nThe changes come about when nodes with these modules start.",
)
@click.option(
    "--jobs", "modules", metavar="MODULE", multiple=True, required=True, help="Job module; repeatable, or a,b."
)
def plan(settings: Settings, modules: Sequence[str]) -> None:
    registered_jobs(modules)
    declared = {one.name: one for one in SCHEDULES.all()}
    with open_database(settings) as database:
        store = database.scheduler.store
        changes, now = difference(declared.values(), store.schedules.all()), store.clock.now()
    for change, name in changes:
        say(f"{change:7} {clean(name)}{_WHY.get(change, '')}")
        if name in declared and change != "taken":
            one = declared[name]
            view = Schedule({"_id": name, "job": {"class": one.job}, "times": one.times, "created": now}, now)
            for line in next_lines(view, _COUNT):
                say(f"          {line}")


@cli_command(
    "backfill",
    example="taskscheduler schedule backfill nightly-report --start 2027-06-01T00:00:00Z",
    output=False,
    help="Add the runs of past times that have none; print their ids.",
)
@click.argument("name")
@click.option("--start", type=AT, required=True, help="First time, an ISO date with time zone.")
@click.option("--end", type=AT, help="Last time.  [default: now]")
@REASON
def backfill(settings: Settings, name: str, start: Any, end: Any) -> None:
    until = SYSTEM_CLOCK.now() if end is None else _moment("--end", end)
    with open_database(settings) as database:
        for process in database.scheduler.schedules.backfill(name, _moment("--start", start), until):
            say(str(process.id))


command = cast("click.Group", schedule)

for _subcommand in (list_all, show, add, pause, resume, run, next_times, plan, backfill, delete):
    command.add_command(_subcommand)


def _from_now(option: str, later: timedelta) -> datetime:
    try:
        return SYSTEM_CLOCK.now() + later
    except OverflowError:
        raise click.UsageError(f"--{option} is too far away: {later.days} days") from None


def _moment(option: str, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise click.UsageError(f"{option} must be a date with a time zone, such as 2027-06-01T00:00:00Z")
    return value


def _checked(scheduler: Scheduler, names: Sequence[str]) -> Sequence[str]:
    """Returns the names if all of them are schedules, so that a wrong one does not leave the work half done."""
    for name in names:
        scheduler.schedules.get(name)
    return names


def _show(settings: Settings, find: Callable[[Scheduler], list[Schedule]]) -> None:
    with open_database(settings) as database:
        _print(settings, find(database.scheduler))


def _print(settings: Settings, found: Sequence[Schedule]) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(one) for one in found]))
    elif form in ("ndjson", "id"):
        for one in found:
            say(json_line(record(one)) if form == "ndjson" else clean(one.name))
    elif form == "table":
        for line in aligned([COLUMNS, *([clean(cell) for cell in _row(one, shown=True)] for one in found)]):
            say(line)
    else:
        for row in [COLUMNS, *(_row(one, shown=False) for one in found)]:
            say(tsv(row))


def _row(one: Schedule, shown: bool) -> tuple[str, ...]:
    last = one.last_process
    zone = one.timezone if shown else "UTC"
    state = state_of(one) + (f" ({one.reason})" if shown and one.reason else "")
    told = "" if last is None else last.status.label
    words = words_of(one)
    times = times_of(one) if not shown else words if len(words) <= _WIDEST else words[:_WIDEST] + "…"
    return (one.name, state, times, local(one.next_at, zone), told, str(one.skipped), one.job)


def _details(one: Schedule) -> list[str]:
    last: Any = one.last_process
    facts = [
        ("name", one.name),
        ("job", one.job),
        ("state", state_of(one) + (f": {one.fault or one.reason}" if one.fault or one.reason else "")),
        ("times", times_of(one)),
        ("in words", one.in_words()),
        ("owner", one.owner),
        ("overlap", one.options.overlap),
        ("missed", one.options.missed),
        ("last run", "" if last is None else _last(one, last)),
        ("runs", f"{one.runs_made} added, {one.skipped} skipped"),
    ]
    lines = aligned([[name, value] for name, value in facts if value])
    return [*lines, "next", *(f"  {line}" for line in next_lines(one, _COUNT))]


def _last(one: Schedule, last: Process) -> str:
    return f"{local(one.last_at, one.timezone)}  {last.status.label}  {last.id}  ended {iso(last.ended)}"
