"""taskscheduler doctor: runs all checks and prints their findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from taskscheduler.errors import SchedulerError
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import chosen_place, described, given_uri, node_command, view_database
from taskscheduler_daemon.cli.doctor_checks import BAD, GOOD, WARNING, Finding, database_findings, host_findings
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, plural, tsv

_SIGNS = {GOOD: ("✓", "ok", 2), WARNING: ("!", "!", 3), BAD: ("✗", "X", 1)}

HELP = """Check everything that jobs depend on, and suggest cures. Nothing is created or changed.

Exit code 1 if there is a problem; warnings do not count.
"""


@cli_command("doctor", example="taskscheduler doctor --uri mongodb://host/app", help=HELP)
def command(settings: Settings) -> int:
    form, found = settings.form(), []
    if form == "tsv":
        say(tsv(("RESULT", "CHECK", "FINDING", "CURE")))
    for finding in _findings(settings):
        found.append(finding)
        _print(settings, form, finding)
    bad, warnings = ([one.result for one in found].count(result) for result in (BAD, WARNING))
    if form == "json":
        say_lines(json_pretty([asdict(one) for one in found]))
    elif form == "table":
        say(_verdict(bad, warnings))
    return ExitCode.FAILED if bad else ExitCode.OK


def _findings(settings: Settings) -> Iterator[Finding]:
    given = given_uri(settings)
    try:
        with view_database(settings) as view:
            why = "" if given else "no URI is given, so "
            yield Finding(GOOD, "uri", f"{why}{described(chosen_place(settings))}")
            yield from database_findings(view.overview, node_command(settings))
    except SchedulerError as error:
        # no check has run: the URI is malformed, or the embedded server does not start
        yield Finding(BAD, "uri", str(error), "give --uri or TASKSCHEDULER_URI: mongodb://host/database")
    yield from host_findings(embedded_is_used=given is None)


def _print(settings: Settings, form: str, finding: Finding) -> None:
    if form == "tsv":
        say(tsv((finding.result, finding.check, finding.text, finding.cure)))
    elif form == "ndjson":
        say(json_line(asdict(finding)))
    elif form == "id":
        say(f"{finding.check} {finding.result}")
    elif form == "table":
        say_lines(_line(settings, finding))


def _line(settings: Settings, finding: Finding) -> str:
    sign, plain, color = _SIGNS[finding.result]
    mark = settings.paint(sign, color) if settings.fancy else f"{plain:<2}"
    line = f"{mark} {finding.check:<9} {clean(finding.text)}"
    return f"{line}\n{' ' * 12}-> {clean(finding.cure)}" if finding.cure else line


def _verdict(bad: int, warnings: int) -> str:
    parts = [plural(number, noun) for number, noun in ((bad, "problem"), (warnings, "warning")) if number]
    return ", ".join(parts) or "no problems found"
