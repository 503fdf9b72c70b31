"""How late the runs of schedules are added to an idle cluster, by the clock of the server; what else is asked of it."""

from __future__ import annotations

import re
import statistics
import threading
from datetime import timedelta
from typing import Any

from pymongo.database import Database

from tests.benchmarks.jobs import Stamp
from tests.benchmarks.stage import Stage

_SCHEDULES = 20
_NODES = 2


def measure(stage: Stage) -> None:
    """Schedules of every second, whose phases differ, on two nodes."""
    seconds = float(stage.scaled(30, 10))
    with stage.scheduler() as (uri, scheduler):
        stage.stamps()
        with stage.node(uri) as first, stage.node(uri) as second:
            for node in (first, second):
                node.wait_until_ready()
            database = scheduler.store.database
            asked = _looks(database)
            for number in range(_SCHEDULES):
                scheduler.schedules.add(f"tick-{number}", Stamp, every=1, overlap="allow")
            threading.Event().wait(seconds)
            late = [1000 * one.total_seconds() for one in _lateness(database)]
            note = stage.figures.note
            note("product.schedule_added_p50", statistics.median(late), "ms")
            note("product.schedule_added_p99", statistics.quantiles(late, n=100)[98], "ms")
            note("product.schedule_runs", len(late) / (_SCHEDULES * seconds), "per time")
            note("product.schedule_looks", (_looks(database) - asked) / len(late) / _NODES, "per run and node")


def _lateness(database: Database[dict[str, Any]]) -> list[timedelta]:
    """Between the time of each run and the moment at which the server inserted it."""
    of_runs = {"op": "i", "ns": {"$regex": "^" + re.escape(database.name) + r"\."}, "o.scheduled_at": {"$exists": True}}
    return [entry["wall"] - entry["o"]["scheduled_at"] for entry in database.client["local"]["oplog.rs"].find(of_runs)]


def _looks(database: Database[dict[str, Any]]) -> int:
    """How often schedules were looked for, by the server's count."""
    totals = database.client.admin.command("top")["totals"]
    return int(totals.get(f"{database.name}.taskscheduler.schedules", {}).get("queries", {}).get("count", 0))
