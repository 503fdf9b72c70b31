"""Describes the steps of a migration: what is to be done, what was done, and for which nodes a step waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from taskscheduler.model.migration.steps import StepReport, StepState

COLUMNS = ("STEP", "NAME", "STATE", "CHANGED", "FOUND", "NODES")


def row(report: StepReport) -> tuple[str, ...]:
    """Returns a step as the cells of a list, below COLUMNS."""
    changed = str(report.changed)
    return str(report.number), report.step.name, str(report.state), changed, report.found, ", ".join(report.nodes)


def record(report: StepReport) -> dict[str, Any]:
    """Returns a step for JSON."""
    return {
        "step": report.number,
        "name": report.step.name,
        "does": report.step.does,
        "state": str(report.state),
        "found": report.found,
        "changed": report.changed,
        "nodes": list(report.nodes),
    }


def line(report: StepReport) -> str:
    """Returns a step in words."""
    return f"{report.number}. {report.step.does}: {_became(report)}"


def _became(report: StepReport) -> str:
    if report.state is StepState.NEEDED:
        return f"needed ({report.found})"
    if report.state is StepState.WAITS:
        return f"waits for {', '.join(report.nodes)}"
    if report.state is StepState.DONE:
        return f"done, {report.changed} changed"
    return str(report.state)


def waiting_for(reports: Iterable[StepReport]) -> str:
    """Names the nodes that these steps wait for."""
    return ", ".join(sorted({name for report in reports for name in report.nodes}))


def verdict(reports: Sequence[StepReport]) -> list[str]:
    """Returns the last lines: what remains to be done, and how."""
    waiting = [report for report in reports if report.state is StepState.WAITS]
    lines = []
    if any(report.state is StepState.NEEDED for report in reports):
        lines.append("Nothing was changed. To do what is needed, run the same without --dry-run")
    if waiting:
        names = waiting_for(waiting)
        lines.append(f"Some steps wait for older nodes. Replace these, then run taskscheduler migrate again: {names}")
    return lines or ["The database is of this version."]
