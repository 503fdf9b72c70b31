"""Moves an older database to this version, step by step; whoever is stopped in between begins again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from taskscheduler.model.migration.steps import STEPS, StepReport, StepState
from taskscheduler.store.migration.migrations import MigrationStore


def migrate(store: MigrationStore) -> Iterator[StepReport]:
    """Takes the steps that are needed, in order, and yields a report of each. Jobs may be added and run meanwhile.

    A step that waits for older nodes is left out. DatabaseError and its subclasses; what was done then is done.
    """
    reports: list[StepReport] = []
    for number in range(1, len(STEPS) + 1):
        report = store.look(number, reports)
        if report.state is StepState.NEEDED:
            report = replace(report, state=StepState.DONE, changed=sum(store.take(number)))
        reports.append(report)
        yield report
