"""taskscheduler status: prints server, nodes, workers, queues and counts on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from taskscheduler.model.control.reasons import Code
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import node_command, view_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.output.worker_tree import pid, tree, work
from taskscheduler_daemon.cli.reading.cluster_status import ClusterStatus
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import LOOKS, count, glyph
from taskscheduler_daemon.presentation.node import (
    DRAINING,
    LOST,
    SILENT,
    UP,
    busy,
    describe,
    load,
    node_state,
    unknown_warning,
    workers,
)
from taskscheduler_daemon.presentation.pause import in_words, what
from taskscheduler_daemon.presentation.reason import counted
from taskscheduler_daemon.presentation.reason import rows as reason_rows
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

_BAR = 20

_COLORS = {UP: 2, DRAINING: 3, SILENT: 3, LOST: 1}

HELP = """Show the server, nodes, workers, queues and counts on one screen.

With --node NAME, for health checks: exit code 0 if this node is up, else 1.
"""


@cli_command("status", example="taskscheduler status --node web-1", help=HELP)
@click.option("--node", metavar="NAME", help="Only check whether this node is up.")
def command(settings: Settings, node: str | None) -> int:
    with view_database(settings) as view:
        if node is not None:
            return _check(settings, node, view.overview.nodes())
        cluster = ClusterStatus.read(view)
    form = settings.form()
    if form == "table":
        _draw(settings, cluster)
    elif form in ("json", "ndjson"):
        document = cluster.to_dict()
        say_lines(json_pretty(document) if form == "json" else json_line(document))
    elif form == "id":
        for entry in cluster.nodes:
            say(str(entry["_id"]))
    else:
        for line in _rows(cluster):
            say(tsv(line))
    return ExitCode.OK


def _check(settings: Settings, name: str, nodes: Sequence[Mapping[str, Any]]) -> int:
    states = [node_state(node) for node in nodes if node.get("name") == name]
    state = UP if UP in states else states[-1] if states else "not known"
    say(f"{clean(name)} is {settings.paint(state, _COLORS.get(state, 1))}")
    return ExitCode.OK if state in (UP, DRAINING) else ExitCode.FAILED


def _rows(cluster: ClusterStatus) -> list[tuple[str, ...]]:
    """Returns the screen as rows: kind, name, state or number, and details."""
    server = cluster.server
    rows: list[tuple[str, ...]] = [
        ("KIND", "NAME", "VALUE", "DETAIL"),
        ("server", server.replica_set, server.version, server.address),
    ]
    rows += [("jobs", status.label, count(number), "") for status, number in cluster.counts.items()]
    rows += [
        ("queue", one.queue, count(one.waiting, one.is_complete), f"oldest {brief(one.oldest)}")
        for one in cluster.queues
    ]
    rows += [("pause", what(one), one.reason or "", one.by or "") for one in cluster.pauses]
    rows += [("unknown", one.name, one.queue, "no node of this queue knows it") for one in cluster.unknown]
    rows += [("why", *cells) for cells in reason_rows(cluster.why)]
    for node in cluster.nodes:
        details = " ".join(f"{name} {value}".strip() for name, value in describe(node) if value)
        rows.append(("node", str(node.get("name")), node_state(node), details))
        rows += [("worker", f"{node.get('name')}/{pid(one)}", *work(one, cluster.jobs)) for one in workers(node)]
    return rows


def _draw(settings: Settings, cluster: ClusterStatus) -> None:
    for line in _summary(settings, cluster):
        say(line)
    if cluster.queues:
        say()
        most = max(queue.waiting for queue in cluster.queues)
        rows = [
            (
                clean(one.queue),
                _bar(one.waiting, most, settings.fancy),
                count(one.waiting, one.is_complete),
                f"oldest {brief(one.oldest)}",
            )
            for one in cluster.queues
        ]
        for line in aligned(rows):
            say(f"  {line}")
    say()
    for one in cluster.unknown:
        say(f"  {settings.paint('warning', 3)}  {clean(unknown_warning(one))}")
    _draw_nodes(settings, cluster)


def _summary(settings: Settings, cluster: ClusterStatus) -> list[str]:
    server, counts = cluster.server, cluster.counts
    kind = f"replica set {server.replica_set}" if server.replica_set else "sharded cluster"
    states = [node_state(node) for node in cluster.nodes]
    up = [node for node in cluster.nodes if node_state(node) == UP]
    slots, running = (sum(int(node.get(name) or 0) for node in up) for name in ("slots", "running"))
    slots_busy = load(sum(map(busy, up)), f"{slots} slots", running, " of ")
    nodes = ", ".join(f"{states.count(state)} {state}" for state in (UP, DRAINING, SILENT, LOST) if state in states)
    due = "" if cluster.next_due is None else f" (next {brief(cluster.next_due)})" if cluster.next_due > 0 else ""
    each = [_count(settings, status, counts[status]) for status in Status]
    each[Status.POSTPONED] += due.replace("(next ", "(next in ")
    place = clean(f"{cluster.database} at {server.address}" if server.address else cluster.database)
    return [
        f"{settings.paint('mongodb', bold=True)} {server.version}, {kind}, database {place}",
        f"{settings.paint('nodes', bold=True)}   {nodes or 'none'}, {slots_busy}",
        f"{settings.paint('live', bold=True)}    {'   '.join(each[:3])}",
        f"{settings.paint('ended', bold=True)}   {'   '.join(each[3:])}",
        *(f"{settings.paint('paused', bold=True)}  {clean(in_words(pause))}" for pause in cluster.pauses),
        *_kept_back(settings, cluster.why),
    ]


def _kept_back(settings: Settings, counts: Mapping[Code, int]) -> list[str]:
    """Returns a line on the jobs that something keeps back, if there are any."""
    each = "   ".join(f"{counted(number)} {code}" for code, number in counts.items())
    return [f"{settings.paint('why', bold=True)}     {each}   (taskscheduler why --summary)"] if counts else []


def _count(settings: Settings, status: Status, number: int) -> str:
    sign = settings.paint(glyph(status, settings.fancy), LOOKS[status].color)
    return f"{sign} {count(number)} {status.label}"


def _bar(number: int, most: int, fancy: bool) -> str:
    full = max(1, round(_BAR * number / most)) if most else 0
    return ("█" if fancy else "#") * full


def _draw_nodes(settings: Settings, cluster: ClusterStatus) -> None:
    if not cluster.nodes:
        say(f"  no node runs; start one: {node_command(settings)}")
    for node in cluster.nodes:
        state = node_state(node)
        details = "  ".join(f"{name} {value}".strip() for name, value in describe(node) if value)
        name = settings.paint(clean(str(node.get("name"))), bold=True)
        say(f"  {name}  {settings.paint(state, _COLORS[state])}  {clean(details)}")
        if state != LOST:
            for line in tree(node, cluster.jobs, settings.fancy):
                say(f" {line}")
