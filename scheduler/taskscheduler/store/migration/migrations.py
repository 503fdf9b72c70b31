"""Looks at an older database and takes the steps that lead to this version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.migration.steps import (
    FAILURES,
    INDEXES,
    PARKED,
    PARKED_JOBS,
    RETENTION,
    STEPS,
    StepReport,
    report,
)
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.client import durable
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.store.migration.failures import NamelessFailures
from taskscheduler.store.migration.steps import PARKED_INDEX, MissingIndexes, OlderIndex, ParkedJobs, StepWork
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.schema import OLDER_RETENTION


class MigrationStore:
    """The steps of one database. Raises DatabaseError and its subclasses.

    `all_indexes`: whether indexes count as missing that are made with the first job that needs them.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions, all_indexes: bool = False) -> None:
        database = durable(database)
        jobs = database[options.job_store]
        self._nodes = NodeStore(database)
        self._works: Mapping[str, StepWork] = {
            INDEXES: MissingIndexes(database, options, ON_DEMAND if all_indexes else ()),
            PARKED_JOBS: ParkedJobs(jobs),
            FAILURES: NamelessFailures(jobs),
            RETENTION: OlderIndex(jobs, OLDER_RETENTION),
            PARKED: OlderIndex(jobs, PARKED_INDEX),
        }

    def plan(self) -> list[StepReport]:
        """Returns what there is to do. Writes nothing."""
        reports: list[StepReport] = []
        for number in range(1, len(STEPS) + 1):
            reports.append(self.look(number, reports))
        return reports

    @translated()
    def look(self, number: int, before: list[StepReport]) -> StepReport:
        """Returns what there is to do for one step, after those `before` it."""
        found = self._works[STEPS[number - 1].name].found()
        return report(number, found, self._nodes.all() if found else (), before)

    def take(self, number: int) -> Iterator[int]:
        """Takes one step in small batches, and yields how many jobs or indexes each has changed."""
        with translated():
            yield from self._works[STEPS[number - 1].name].take()
