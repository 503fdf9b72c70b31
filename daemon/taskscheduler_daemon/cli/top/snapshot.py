"""Snapshot: what `taskscheduler top` shows at one moment. Every read is bounded and on an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.sound import sound
from taskscheduler_daemon.cli.database import DatabaseView
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import count
from taskscheduler_daemon.presentation.node import UP, busy, load, node_state, workers
from taskscheduler_daemon.presentation.running import as_of_now, boots_of
from taskscheduler_daemon.presentation.text import size


class Row(NamedTuple):
    """One line of a table."""

    key: str  #: what it is about, so that the selection stays there
    cells: tuple[str, ...]
    order: tuple[Any, ...]  #: what it can be sorted by, one for each name in the table's `sorts`
    job: Any = None  #: id
    queue: str | None = None
    paused: bool = False


class Table(NamedTuple):
    """One of the tables."""

    columns: tuple[tuple[str, int], ...]  #: name and width; 0: what is left
    sorts: tuple[str, ...]
    rows: tuple[Row, ...]


JOBS, QUEUES, NODES = "jobs", "queues", "nodes"

TABS = (JOBS, QUEUES, NODES)


class Snapshot(NamedTuple):
    """All tables, and the line above them."""

    summary: str
    tables: Mapping[str, Table]

    @classmethod
    def read(cls, view: DatabaseView) -> Snapshot:
        """Reads it from a database."""
        nodes = view.overview.nodes()
        running = view.job_lists.running_on(boots_of(nodes))
        found, queues, pauses = as_of_now(nodes, running), view.overview.backlogs(), view.overview.pauses()
        paused = {pause.name for pause in pauses if pause.kind == "queue"}
        tables = {
            JOBS: Table(_JOB_COLUMNS, ("time", "job", "cpu", "memory", "progress"), tuple(_jobs(found, running))),
            QUEUES: Table(
                _QUEUE_COLUMNS,
                ("waiting", "oldest", "name"),
                tuple(
                    Row(
                        f"queue {one.queue}",
                        (
                            clean(one.queue),
                            count(one.waiting, one.is_complete),
                            brief(one.oldest),
                            "paused" if one.queue in paused else "",
                        ),
                        (-one.waiting, -one.oldest, one.queue),
                        queue=one.queue,
                        paused=one.queue in paused,
                    )
                    for one in queues
                ),
            ),
            NODES: Table(_NODE_COLUMNS, ("name",), tuple(_nodes(found, running))),
        }
        return cls(_summary(view, found, queues, pauses), tables)


_JOB_COLUMNS = (("ID", 24), ("JOB", 0), ("NODE", 14), ("TIME", 6), ("CPU", 5), ("MEMORY", 8), ("DONE", 5))

_QUEUE_COLUMNS = (("QUEUE", 0), ("WAITING", 10), ("OLDEST", 8), ("STATE", 8))

_NODE_COLUMNS = (("NODE", 0), ("STATE", 8), ("CPU", 5), ("MEMORY", 8), ("WORK", 32))


def _summary(view: DatabaseView, nodes: Sequence[Any], queues: Sequence[Any], pauses: Sequence[Pause]) -> str:
    up = [node for node in nodes if node_state(node) == UP]
    slots, running = (sum(int(node.get(name) or 0) for node in up) for name in ("slots", "running"))
    waiting, more = sum(one.waiting for one in queues), not all(one.is_complete for one in queues)
    parts = [
        clean(view.overview.name),
        f"{len(up)} of {len(nodes)} nodes up",
        load(sum(map(busy, up)), f"{slots} slots", running, " of "),
        f"{waiting}{'+' if more else ''} waiting",
    ]
    return "  ".join([*parts, *([f"{len(pauses)} paused"] if pauses else [])])


def _jobs(nodes: Sequence[Mapping[str, Any]], running: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    names = {node["_id"]: clean(str(node.get("name"))) for node in nodes}
    known = {str(worker.get("id")): worker for node in nodes for worker in workers(node)}
    for job in running:
        worker = known.get(str(job.get("worker")), {})
        seconds, done = job.get("seconds") or 0.0, sound(job, "progress", 0)
        cells = (
            str(job["_id"]),
            clean(str(job.get("class", ""))),
            names.get(job.get("boot"), "?"),
            brief(float(seconds)),
            *usage(worker),
            f"{done:.3g}%" if done else "",
        )
        order = (-float(seconds), cells[1], -_number(worker, "cpu"), -_number(worker, "memory"), -done)
        yield Row(f"job {job['_id']}", cells, order, job=job["_id"])


def _nodes(nodes: Sequence[Mapping[str, Any]], running: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    names = {job["_id"]: str(job.get("class", "")) for job in running}
    for node in nodes:
        name = clean(str(node.get("name")))
        found = workers(node)
        totals = {key: sum(_number(worker, key) for worker in found) for key in ("cpu", "memory")}
        work = load(busy(node), node.get("slots", "?"), int(node.get("running") or 0))
        yield Row(f"node {node['_id']}", (name, node_state(node), *usage(totals), work), (name, 0))
        for number, worker in enumerate(found):
            job = worker.get("job")
            others = int(worker.get("jobs") or 1) - 1
            text = "" if job is None else f"{names.get(job, '')} {job}" + (f" and {others} more" if others else "")
            cells = (f"  {worker.get('pid') or '?'}", "idle" if job is None else "busy", *usage(worker), clean(text))
            yield Row(f"worker {worker.get('id')}{number}", cells, (name, number + 1), job=job)


def _number(worker: Mapping[str, Any], name: str) -> float:
    value = worker.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def usage(worker: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the CPU percent and the memory of a worker at the last heartbeat, as far as they are known."""
    cpu, memory = worker.get("cpu"), worker.get("memory")
    return "" if cpu is None else f"{cpu:.0f}%", "" if not memory else size(memory)
