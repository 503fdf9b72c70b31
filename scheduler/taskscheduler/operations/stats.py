"""Describes a cluster in numbers: plain dictionaries for monitoring, made of bounded reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import silence_of, state_of
from taskscheduler.store import Store
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.counts.by_name import NameCounts, count_some
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.job_lists import CAP
from taskscheduler.store.overview import ClusterOverview

#: the groups that jobs are counted by, and their fields
COUNTED_BY: Mapping[str, str] = {"job": "class", "queue": "queue"}


def counts_of_some(store: Store, by: str) -> NameCounts:
    """Returns how many jobs there are in each status, by `job` or `queue`; of many, some of each are counted."""
    with translated():
        return count_some(store.jobs.collection, COUNTED_BY[by])


def statistics(overview: ClusterOverview) -> dict[str, Any]:
    """Returns jobs per status, queues, nodes with their slots, and the seconds until the next postponed job is due.

    Counts stop at `capped_at`: a greater number means "more than that". If many queues have many jobs, fewer of each
    are counted, and `is_complete` is false.
    """
    return {
        "jobs": by_status(overview.counts()),
        "queues": {backlog.queue: of_queue(backlog) for backlog in overview.backlogs()},
        **of_nodes(overview.nodes()),
        "next_due": overview.next_due(),
        "capped_at": CAP,
    }


def by_status(counts: Mapping[Status, int]) -> dict[str, int]:
    """Returns the count of every status by its label."""
    return {status.label: counts.get(status, 0) for status in Status}


def of_queue(backlog: Backlog) -> dict[str, Any]:
    """Returns how many jobs wait in a queue, if that are all, and for how many seconds the oldest one has."""
    return {"waiting": backlog.waiting, "oldest": backlog.oldest, "is_complete": backlog.is_complete}


def of_nodes(documents: Iterable[Document]) -> dict[str, Any]:
    """Returns the nodes of the last day, and the sum of the slots of those that are up."""
    nodes = [of_node(document) for document in documents]
    up = [node for node in nodes if node["state"] == "up"]
    return {"nodes": nodes, "slots": {name: sum(node[name] for node in up) for name in ("running", "free", "total")}}


def of_node(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one node: `state` is up, draining (it takes no new jobs), silent (its lease has ended) or lost.

    Other nodes have rescued the jobs of one that is lost.

    `workers` counts its processes; `ended` counts the attempts since its start by their end: succeeded, failed,
    timed_out, lost, returned. `running` counts its attempts and `free` its unused slots; async attempts share a slot,
    and services have workers beyond the `total`.
    """
    running, total = int(document.get("running") or 0), int(document.get("slots") or 0)
    return {
        "name": str(document.get("name") or ""),
        "host": str(document.get("host") or ""),
        "version": str(document.get("version") or ""),
        "queues": list(document.get("queues") or []),
        "state": str(state_of(document)),
        "running": running,
        "free": max(0, total - int(document.get("busy", running))),
        "total": total,
        "workers": len(document.get("workers") or []),
        "ended": {str(name): int(count) for name, count in (document.get("ended") or {}).items()},
        "silent": silence_of(document),
    }
