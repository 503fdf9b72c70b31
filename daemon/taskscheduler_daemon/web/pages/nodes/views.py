"""Turns nodes and their workers into short plain values for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.model.job_ids import id_text
from taskscheduler.model.nodes import age_of
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.node import DRAINING, LOST, SILENT, UP, busy, node_state, workers
from taskscheduler_daemon.presentation.text import plural, size
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row, node_row

MOST_WORKERS = 64  #: of one node that are shown


def counted(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Returns how many nodes there are in each state: `58 up, 2 lost`."""
    states = [node_state(node) for node in nodes]
    return ", ".join(
        f"{states.count(state)} {state.lower()}" for state in (UP, DRAINING, SILENT, LOST) if state in states
    )


def node_view(node: Mapping[str, Any], classes: Mapping[Any, str]) -> Row:
    """Returns a node with its workers. `classes` has the class of each job that runs."""
    found, age, slots = sorted(workers(node), key=_is_idle), age_of(node), node.get("slots")
    share = 100 * busy(node) / slots if isinstance(slots, int) and slots > 0 else 0
    return {
        **node_row(node),
        "id": line(node["_id"], 40),
        "since": "" if age is None else brief(age),
        "share": f"{min(100.0, share):.0f}",
        "facts": [(name, line(value, 100)) for name, value in _facts(node) if value],
        "workers": [_worker(worker, classes) for worker in found[:MOST_WORKERS]],
        "more": max(0, len(found) - MOST_WORKERS),
        "at_work": f"{plural(len(found), 'worker')}, {sum(not _is_idle(one) for one in found)} busy",
    }


def _is_idle(worker: Mapping[str, Any]) -> bool:
    return worker.get("job") is None


def _facts(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    jobs = node.get("jobs")
    return [
        ("Slots", node_row(node)["busy"]),
        ("Queues", ", ".join(map(str, node.get("queues") or [])) or "all"),
        ("Pool", str(node.get("pm") or "")),
        ("Process", f"{node.get('pid', '?')} on {node.get('host', '?')}"),
        ("Version", str(node.get("version") or "")),
        ("Knows", plural(len(jobs), "job class").replace("classs", "classes") if isinstance(jobs, list) else ""),
    ]


def _worker(worker: Mapping[str, Any], classes: Mapping[Any, str]) -> Row:
    job = worker.get("job")
    seconds, number = worker.get("seconds"), worker.get("jobs") or 0
    return {
        "pid": line(worker.get("pid") or "?", 20),
        "job": "" if job is None else id_text(job),
        "class": line(classes.get(job, ""), 80),
        "more": number - 1 if isinstance(number, int) and number > 1 else 0,
        "run": brief(seconds) if job is not None and seconds is not None else "",
        "memory": _amount(worker, "memory", "rss"),
        "cpu": _percent(worker.get("cpu")),
    }


def _amount(worker: Mapping[str, Any], *names: str) -> str:
    found = next((worker[name] for name in names if isinstance(worker.get(name), int | float)), None)
    return "" if found is None else size(found)


def _percent(value: object) -> str:
    return f"{value:.0f} %" if isinstance(value, int | float) else ""
