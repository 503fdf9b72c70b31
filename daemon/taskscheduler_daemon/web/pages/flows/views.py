"""Turns flows, their graphs and their jobs into short plain values for the templates."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from taskscheduler.flow_state import FlowState
from taskscheduler.model.flows.flow import CANCELED, DONE, FAILED, RUNNING
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status
from taskscheduler.operations.flows.tree import FlowNode, FlowTree
from taskscheduler.process import JobAccess, Process
from taskscheduler_daemon.presentation.flow import (
    age,
    before,
    counts_of,
    jobs_text,
    mentioned,
    node_news,
    percent,
    rank,
    took,
)
from taskscheduler_daemon.presentation.job import run_time
from taskscheduler_daemon.presentation.text import iso, local, plural
from taskscheduler_daemon.web.pages.flows.actions import offered
from taskscheduler_daemon.web.pages.flows.graph import HEIGHT, LINE, WIDTH, Box, Graph
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row, status_view

LISTED = 20  #: jobs in the list below the graph

_LEAST = 1.5  #: percent of a bar that what failed or runs has at least

_ROOM = 15.5  #: how many average characters a box has room for

_NARROW, _WIDE = "fijlrt.,:;|!()[]{}'-/ ", "mwMW@%<>=+~"

_STATUS_OF = {RUNNING: Status.PROCESSING, DONE: Status.DONE, FAILED: Status.FAILED, CANCELED: Status.CANCELED}


def flow_status(flow: FlowState) -> Row:
    """Returns the status of a flow with its sign."""
    return {**status_view(_STATUS_OF[flow.status]), "text": flow.status}


def flow_row(flow: FlowState, now: datetime) -> Row:
    """Returns a flow in a list."""
    return {
        "id": str(flow.id),
        "name": line(flow.name, 200) or "(no name)",
        "status": flow_status(flow),
        "percent": percent(flow),
        "bar": _bar(flow),
        "jobs": jobs_text(flow),
        "age": age(flow, now),
        "added": iso(flow.created),
        "took": took(flow),
        "reason": line(flow.reason or "", 500),
    }


def _bar(flow: FlowState) -> list[Row]:
    """Returns the parts of a bar, in percent. What failed comes first and can be seen, however little it is."""
    counts = counts_of(flow)
    total, at, parts = max(flow.total, sum(counts.values()), 1), 0.0, list[Row]()
    for status in (Status.FAILED, Status.TIMEOUT, Status.DONE, Status.CANCELED, Status.PROCESSING):
        if number := counts.get(status, 0):
            width = max(100 * number / total, _LEAST if status in (*DEAD_LETTERS, Status.PROCESSING) else 0)
            parts.append({"name": status.label, "x": f"{at:.2f}", "width": f"{width:.2f}"})
            at += width
    return parts


def flow_page(flow: FlowState, now: datetime) -> Row:
    """Returns everything about one flow but its jobs."""
    return {
        **flow_row(flow, now),
        "running": not flow.has_ended,
        "actions": offered(flow),
        "counts": [{"status": status_view(status), "count": number} for status, number in counts_of(flow).items()],
        "added_at": local(flow.created),
        "ended_at": local(flow.ended),
        "all": _search(flow, ()),
    }


def _search(flow: FlowState, statuses: Sequence[Status]) -> str:
    """Returns the part of an address that finds jobs of a flow."""
    chosen = f" status:{','.join(status.label for status in statuses)}" if statuses else ""
    return urlencode({"q": f"flow:{flow.id}{chosen}"})


def listed(tree: FlowTree) -> list[FlowNode]:
    """Returns the jobs in the list: the most important ones first."""
    by_status: dict[Status, list[FlowNode]] = {}
    for node in tree.nodes:
        by_status.setdefault(node.status, []).append(node)
    ordered = (node for status in sorted(by_status, key=rank) for node in by_status[status])
    return list(islice(ordered, LISTED if len(tree.nodes) > LISTED + 1 else None))


def to_describe(graph: Graph, rows: Sequence[FlowNode]) -> list[FlowNode]:
    """Returns the jobs that have to be read for a page with this graph and list."""
    shown = [*(box.node for box in graph.boxes if box.node is not None), *rows]
    return [*shown, *(one for node in rows for one in mentioned(node))]


def job_row(node: FlowNode, jobs: JobAccess, now: datetime) -> Row:
    """Returns a job in the list, which has been read."""
    job = Process(jobs, node.document)
    return {
        "id": str(node.id),
        "label": line(node.label, 200),
        "job": line(job.job, 80),
        "status": status_view(node.status),
        "step": node.layer + 1,
        "run": run_time(job, now),
        "before": line(before(node).removeprefix("after "), 300),
        "note": line(node_news(node, job, now), 300),
    }


def graph_view(graph: Graph, flow: FlowState, jobs: JobAccess, now: datetime) -> Row:
    """Returns the graph of a flow, whose jobs have been read."""
    return {
        "width": round(graph.width),
        "height": round(graph.height),
        "box": WIDTH,
        "paths": graph.paths,
        "joints": [{"x": round(joint.x), "y": round(joint.y)} for joint in graph.joints],
        "titles": [{"x": round(column.boxes[0].x), "text": column.title} for column in graph.columns if column.boxes],
        "boxes": [_box(box, flow, jobs, now) for box in graph.boxes],
    }


def _box(box: Box, flow: FlowState, jobs: JobAccess, now: datetime) -> Row:
    place = {"x": round(box.x), "y": round(box.y), "height": round(box.height)}
    return place | (_folded(box, flow) if box.node is None else _job(box.node, jobs, now))


def _job(node: FlowNode, jobs: JobAccess, now: datetime) -> Row:
    job = Process(jobs, node.document)
    view, lasted, news = status_view(node.status), run_time(job, now), line(node_news(node, job, now), 160)
    title = f"{line(node.label, 200)} ({line(job.job, 80)}): {view['name']}"
    return {
        "address": f"jobs/{node.id}",
        "kind": view["name"],
        "sign": view["sign"],
        "label": fitting(line(node.label, 200)),
        "lines": [{"text": " ".join(part for part in (view["name"], lasted) if part), "y": 36}],
        "title": ", ".join(part for part in (title, lasted, news) if part),
    }


def _folded(box: Box, flow: FlowState) -> Row:
    counts: Mapping[Status, int] = {status: box.counts[status] for status in sorted(box.counts, key=rank)}
    views = [(status_view(status), number) for status, number in counts.items()]
    texts = [f"{view['sign']} {number} {view['name']}" for view, number in views]
    total = sum(counts.values())
    bad = next((view["name"] for (view, _), status in zip(views, counts, strict=True) if status in DEAD_LETTERS), "")
    # the numbers of all jobs of a status, since no search finds those of a step
    address = f"flows/{flow.id}?step={box.step}" if box.step else f"jobs?{_search(flow, list(counts))}"
    label = plural(total, "job") if box.step else f"{total} more"
    return {
        "address": address,
        "kind": f"more {bad}".strip(),
        "sign": "…",
        "label": label,
        "lines": [{"text": text, "y": HEIGHT - 12 + LINE * number} for number, text in enumerate(texts)],
        "title": f"{label}: {', '.join(texts)}",
    }


def fitting(text: str, room: float = _ROOM) -> str:
    """Returns a text, or its beginning, that fits into a box; SVG cuts no text by itself."""
    used = 0.0
    for number, char in enumerate(text):
        used += _width(char)
        if used > room:
            return text[: max(1, number - 1)].rstrip() + "…"
    return text


def _width(char: str) -> float:
    """Returns about how wide a character is, in average ones."""
    if unicodedata.combining(char):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF":
        return 1.9
    if char in _NARROW:
        return 0.6
    return 1.6 if char in _WIDE else 1.25 if char.isupper() else 1.05


def links_of(given: Mapping[str, Any]) -> str:
    """Returns the parameters of an address that have a value."""
    return urlencode({name: value for name, value in given.items() if value}, errors="replace")
