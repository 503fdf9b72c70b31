"""Prints what was done to a selection of many jobs."""

from __future__ import annotations

from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, plural, tsv


def print_result(form: str, result: SelectionResult) -> int:
    """Prints how many jobs were changed, and why others were not; returns the exit code."""
    if form in ("json", "ndjson"):
        facts = {"count": result.count, "skipped": result.skipped, "reasons": dict(result.reasons)}
        say_lines((json_pretty if form == "json" else json_line)({**facts, "dry_run": result.dry_run}))
    elif form == "tsv":
        say(tsv(("COUNT", "SKIPPED")))
        say(tsv((result.count, result.skipped)))
    elif form == "id":
        say(str(result.count))
    else:
        say(f"{plural(result.count, 'job')} {'would be ' if result.dry_run else ''}{result.done}")
    for reason, number in result.reasons.items():
        remark(f"taskscheduler: {plural(number, 'job')} skipped: {reason}")
    if not result.skipped:
        return ExitCode.OK
    return ExitCode.FAILED if result.count else ExitCode.REFUSED
