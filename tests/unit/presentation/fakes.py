"""Jobs and schedules as they are stored, for tests of how they look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions
from taskscheduler.process import Process

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
SCHEDULER: Any = None


def job(status: Status, *, options: dict[str, Any] | None = None, **fields: Any) -> Process:
    document = {
        "_id": ObjectId("6a5f01c2e26cf26c6d0ede69"),
        "class": "Mail",
        "status": int(status),
        "created": NOW - timedelta(minutes=8),
        "attempt": 0,
        "options": {"retry": 0, "interval": 0, **(options or {})},
        **fields,
    }
    return Process(SCHEDULER, document)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def schedule(**fields: Any) -> Schedule:
    document = {
        "_id": "nightly",
        "rev": 0,
        "created": NOW,
        "times": {"cron": ["30 2 * * mon-fri"], "timezone": "Europe/Zurich"},
        "job": {"class": "Report", "queue": "default", "priority": 0, "options": JobOptions(retry=3).stored()},
        **fields,
    }
    return Schedule({name: value for name, value in document.items() if value is not None}, NOW)
