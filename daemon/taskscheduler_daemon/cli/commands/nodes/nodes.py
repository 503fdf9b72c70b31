"""taskscheduler nodes: prints the nodes of the last day, with their versions, and what none of them knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.operations.control.known import unknown_classes
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import node_command, view_database
from taskscheduler_daemon.cli.output.worker_tree import tree
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.node import COLUMNS, LOST, node_record, node_row, node_state, unknown_warning
from taskscheduler_daemon.presentation.running import as_of_now, boots_of
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """List the nodes of the last day, the oldest first, with their versions.

VERSION is the node's --version, or that of the installed job modules. SINCE is how long it has run, and JOBS how many
job classes it knows. Below each node stand its workers, with what each does and, at the last heartbeat, its memory
and CPU. Classes of waiting jobs that no node knows are named below the list.
"""


@cli_command("nodes", example="taskscheduler nodes", help=HELP)
def command(settings: Settings) -> None:
    with view_database(settings) as view:
        found = view.overview.nodes()
        running = view.job_lists.running_on(boots_of(found))
        nodes = as_of_now(found, running)
        unknown = unknown_classes(view.overview, nodes)
    _print(settings, nodes, {job["_id"]: job for job in running})
    if not nodes:
        remark(f"taskscheduler: no node runs; start one: {node_command(settings)}")
    for one in unknown:
        remark(f"taskscheduler: {unknown_warning(one)}")


def _print(settings: Settings, nodes: Sequence[Mapping[str, Any]], jobs: Mapping[Any, Mapping[str, Any]]) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([node_record(node) for node in nodes]))
    elif form == "tsv":
        for cells in (COLUMNS, *map(node_row, nodes)):
            say(tsv(cells))
    elif form == "table":
        head, *lines = aligned([[clean(cell) for cell in cells] for cells in (COLUMNS, *map(node_row, nodes))])
        say(head)
        for line, node in zip(lines, nodes, strict=True):
            say(line)
            for below in tree(node, jobs, settings.fancy) if node_state(node) != LOST else ():
                say(below)
    else:
        for node in nodes:
            say(str(node["_id"]) if form == "id" else json_line(node_record(node)))
