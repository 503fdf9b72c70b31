"""What stands during a run: services, limits, and the key that solo jobs share with programs."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from taskscheduler import Process, Scheduler
from tests.faults.history import History

SHARED_KEY = "faults.shared"  #: of solo jobs, and of programs that no node runs
EFFECTS, ORDERS = "faults.effects", "faults.orders"  #: collections that jobs and producers write in transactions
SERVICES = ("keeper", "fitful")
SERVICE_OPTIONS: dict[str, Any] = {"restart_interval": 0.2, "restart_interval_max": 1, "stop_soft": 1, "stop_hard": 2}


def start_service(scheduler: Scheduler, name: str) -> Process:
    """Make one of the services of a run be there."""
    return scheduler.start_service(f"faults.{name}", name=name, **SERVICE_OPTIONS)


def set_limit(scheduler: Scheduler, history: History, name: str, concurrency: int | None = None, **rate: Any) -> None:
    """Set a limit of a run, which stays as it is."""
    scheduler.limits.set(name, concurrency, **rate)
    history.write("limit", name=name, concurrency=concurrency)


def release_sequences(scheduler: Scheduler, history: History) -> None:
    """Release the sequences that are blocked."""
    for blocked in scheduler.sequences.blocked():
        call = ObjectId()
        history.write("release", key=blocked.key, call=call)
        scheduler.sequences.release(blocked.key)
        history.write("released", key=blocked.key, call=call)
