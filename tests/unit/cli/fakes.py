"""Stand-ins for what commands read of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from taskscheduler.model.migration.steps import StepReport
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.overview import Server

T = TypeVar("T")


@dataclass
class FakeOverview:
    """An overview of a healthy cluster without jobs; an exception in place of a value is raised."""

    name: str = "app"
    server_facts: Server | Exception = field(default_factory=lambda: Server("6.0.5", "rs0", "db:27017", 0.001, 0.0))
    stream: float | Exception = 0.002
    indexes: Sequence[str] = ()
    steps: Sequence[StepReport] = ()
    collections: Mapping[str, bool | None] = field(default_factory=lambda: {"queue": True, "events": True})
    registered: Sequence[Mapping[str, Any]] = ({"name": "web-1", "silent": 1.0, "lease": 30},)
    waiting: Sequence[Backlog] = ()

    def server(self) -> Server:
        return _value(self.server_facts)

    def open_stream(self) -> float:
        return _value(self.stream)

    def missing_indexes(self) -> Sequence[str]:
        return self.indexes

    def migration(self) -> Sequence[StepReport]:
        return self.steps

    def capped(self) -> Mapping[str, bool | None]:
        return self.collections

    def nodes(self) -> Sequence[Mapping[str, Any]]:
        return self.registered

    def backlogs(self) -> Sequence[Backlog]:
        return self.waiting


def _value(value: T | Exception) -> T:
    if isinstance(value, Exception):
        raise value
    return value
