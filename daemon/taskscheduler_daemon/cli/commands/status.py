"""Decides what fits on the one screen of `taskscheduler status`, and what makes a node healthy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.store.overview import Backlog, Server
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import View, chosen_uri, looking
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import LOOKS, count, glyph
from taskscheduler_daemon.presentation.node import LOST, SILENT, UP, busy, describe, load, node_state, workers
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import aligned, clean, json_line, json_pretty, tsv

_SHOWN_WORKERS = 50

_BAR = 20

_COLORS = {UP: 2, SILENT: 3, LOST: 1}

HELP = """Show the server, nodes, workers, queues and counts on one screen.

With --node NAME: exit code 0 if this node is up, 1 if it is not; for health checks.
"""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the screen."""

    database: str
    server: Server
    nodes: Sequence[Mapping[str, Any]]
    counts: Mapping[Status, int]
    queues: Sequence[Backlog]
    next_due: float | None
    jobs: Mapping[ObjectId, Mapping[str, Any]]  #: those that workers run

    @classmethod
    def read(cls, view: View) -> Overview:
        overview = view.overview
        nodes = overview.nodes()
        running = [worker.get("job") for node in nodes for worker in workers(node) if node_state(node) == UP]
        ids = [job_id for job_id in running if isinstance(job_id, ObjectId)][:_SHOWN_WORKERS]
        return cls(
            overview.name,
            overview.server(),
            nodes,
            overview.counts(),
            overview.backlogs(),
            overview.next_due(),
            view.job_lists.progress_of(ids),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "server": asdict(self.server),
            "nodes": [{**node, "state": node_state(node)} for node in self.nodes],
            "jobs": {status.label: number for status, number in self.counts.items()},
            "queues": [asdict(queue) for queue in self.queues],
            "next_due": self.next_due,
        }


@cli_command("status", help=HELP)
@click.option("--node", metavar="NAME", help="Only tell whether this node is up.")
def command(settings: Settings, node: str | None) -> int:
    with chosen_uri(settings) as uri, looking(uri) as view:
        if node is not None:
            return _check(settings, node, view.overview.nodes())
        overview = Overview.read(view)
    form = settings.form()
    if form == "table":
        _draw(settings, overview)
    elif form in ("json", "ndjson"):
        said = overview.to_dict()
        say(json_pretty(said) if form == "json" else json_line(said))
    elif form == "id":
        for entry in overview.nodes:
            say(str(entry["_id"]))
    else:
        for line in _rows(overview):
            say(tsv(line))
    return ExitCode.OK


def _check(settings: Settings, name: str, nodes: Sequence[Mapping[str, Any]]) -> int:
    states = [node_state(node) for node in nodes if node.get("name") == name]
    state = UP if UP in states else states[-1] if states else "not known"
    say(f"{clean(name)} is {settings.paint(state, _COLORS.get(state, 1))}")
    return ExitCode.OK if state == UP else ExitCode.FAILED


def _rows(overview: Overview) -> list[tuple[str, ...]]:
    """The same as rows: what it is, its name, its state or number, and details."""
    server = overview.server
    rows: list[tuple[str, ...]] = [
        ("KIND", "NAME", "VALUE", "DETAIL"),
        ("server", server.replica_set, server.version, server.address),
    ]
    rows += [("jobs", status.label, count(number), "") for status, number in overview.counts.items()]
    rows += [("queue", one.queue, count(one.waiting), f"oldest {brief(one.oldest)}") for one in overview.queues]
    for node in overview.nodes:
        said = " ".join(f"{name} {value}".strip() for name, value in describe(node) if value)
        rows.append(("node", str(node.get("name")), node_state(node), said))
        rows += [
            ("worker", f"{node.get('name')}/{worker.get('pid')}", *_work(overview, worker)) for worker in workers(node)
        ]
    return rows


def _work(overview: Overview, worker: Mapping[str, Any]) -> tuple[str, str]:
    """What a worker does: the id of its job, and more about it."""
    job_id = worker.get("job")
    if job_id is None:
        return "idle", ""
    job = overview.jobs.get(job_id, {})
    percent = f"{job['progress']:.4g}%" if job.get("progress") else ""
    seconds = brief(float(worker["seconds"])) if worker.get("seconds") is not None else ""
    others = int(worker.get("jobs") or 1) - 1
    more = f"and {others} more" if others else ""
    return str(job_id), " ".join(part for part in (str(job.get("class", "")), seconds, percent, more) if part)


def _draw(settings: Settings, overview: Overview) -> None:
    for line in _summary(settings, overview):
        say(line)
    if overview.queues:
        say()
        most = max(queue.waiting for queue in overview.queues)
        rows = [
            (
                clean(one.queue),
                _bar(one.waiting, most, settings.fancy),
                count(one.waiting),
                f"oldest {brief(one.oldest)}",
            )
            for one in overview.queues
        ]
        for line in aligned(rows):
            say(f"  {line}")
    say()
    _draw_nodes(settings, overview)


def _summary(settings: Settings, overview: Overview) -> list[str]:
    server, counts = overview.server, overview.counts
    kind = f"replica set {server.replica_set}" if server.replica_set else "sharded cluster"
    states = [node_state(node) for node in overview.nodes]
    up = [node for node in overview.nodes if node_state(node) == UP]
    slots, running = (sum(int(node.get(name) or 0) for node in up) for name in ("slots", "running"))
    slots_busy = load(sum(map(busy, up)), f"{slots} slots", running, " of ")
    nodes = ", ".join(f"{states.count(state)} {state}" for state in (UP, SILENT, LOST) if state in states)
    due = "" if overview.next_due is None else f" (next {brief(overview.next_due)})" if overview.next_due > 0 else ""
    each = [_count(settings, status, counts[status]) for status in Status]
    each[Status.POSTPONED] += due.replace("(next ", "(next in ")
    place = clean(f"{overview.database} at {server.address}" if server.address else overview.database)
    return [
        f"{settings.paint('mongodb', bold=True)} {server.version}, {kind}, database {place}",
        f"{settings.paint('nodes', bold=True)}   {nodes or 'none'}, {slots_busy}",
        f"{settings.paint('live', bold=True)}    {'   '.join(each[:3])}",
        f"{settings.paint('ended', bold=True)}   {'   '.join(each[3:])}",
    ]


def _count(settings: Settings, status: Status, number: int) -> str:
    sign = settings.paint(glyph(status, settings.fancy), LOOKS[status].color)
    return f"{sign} {count(number)} {status.label}"


def _bar(number: int, most: int, fancy: bool) -> str:
    full = max(1, round(_BAR * number / most)) if most else 0
    return ("█" if fancy else "#") * full


def _draw_nodes(settings: Settings, overview: Overview) -> None:
    if not overview.nodes:
        say("  no node runs; start one: taskscheduler node --jobs yourapp.jobs")
    for node in overview.nodes:
        state = node_state(node)
        said = "  ".join(f"{name} {value}".strip() for name, value in describe(node) if value)
        name = settings.paint(clean(str(node.get("name"))), bold=True)
        say(f"  {name}  {settings.paint(state, _COLORS[state])}  {clean(said)}")
        if state != LOST:
            _draw_workers(settings, overview, workers(node))


def _draw_workers(settings: Settings, overview: Overview, found: Sequence[Mapping[str, Any]]) -> None:
    for number, worker in enumerate(found[:_SHOWN_WORKERS]):
        last = number == min(len(found), _SHOWN_WORKERS) - 1
        branch = ("└" if last else "├") if settings.fancy else "-"
        say(clean(f"   {branch} {worker.get('pid', '?'):<7} {'  '.join(_work(overview, worker))}".rstrip()))
    if len(found) > _SHOWN_WORKERS:
        say(f"     and {len(found) - _SHOWN_WORKERS} more workers")
