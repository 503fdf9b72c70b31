"""What a node with two workers and no jobs costs: processor, memory, writes."""

from __future__ import annotations

import re
import threading
from typing import Any

from pymongo.database import Database

from tests.benchmarks.processes import cpu_seconds, pss_mb
from tests.benchmarks.stage import Stage

_SETTLED_AFTER = 4.0


def measure(stage: Stage) -> None:
    """After it has settled, for a minute."""
    seconds = float(stage.scaled(60, 20))
    with stage.scheduler() as (uri, scheduler), stage.node(uri) as node:
        node.wait_until_ready()
        threading.Event().wait(_SETTLED_AFTER)
        database = scheduler.store.database
        tree = [node.pid, *node.tree()]
        before = cpu_seconds(tree), _writes(database), _beats(scheduler.store.nodes.all())
        threading.Event().wait(seconds)
        after = cpu_seconds(tree), _writes(database), _beats(scheduler.store.nodes.all())
        used, written, beats = (then - now for then, now in zip(after, before, strict=True))
        note = stage.figures.note
        note("product.idle_cpu", used * 60 / seconds, "s/min")
        note("product.idle_pss", pss_mb(tree), f"MB in {len(tree)}")
        note("product.idle_writes", written / max(1, beats), "per beat")
        note("product.idle_beats", beats * 60 / seconds, "/min")


def _writes(database: Database[dict[str, Any]]) -> int:
    """The writes to our database so far; the server's own housekeeping does not count."""
    names = {"$regex": "^" + re.escape(database.name) + r"\."}
    return int(database.client["local"]["oplog.rs"].count_documents({"ns": names}))


def _beats(nodes: list[dict[str, Any]]) -> int:
    return sum(int(node["beat"]) for node in nodes)
