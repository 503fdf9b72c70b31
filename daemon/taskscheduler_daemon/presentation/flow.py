"""How a flow looks: in a list, and as a record for programs; which actions are possible, and what its jobs wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from taskscheduler.flow_state import FlowState
from taskscheduler.model.flows.flow import CANCELED, DONE, FAILED, RUNNING
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status
from taskscheduler.operations.flows.tree import FlowNode, FlowTree
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import LOOKS, Look, error_line, news
from taskscheduler_daemon.presentation.text import plural

COLUMNS = ("ID", "NAME", "STATE", "PROGRESS", "JOBS", "AGE", "TOOK", "NOTE")

LOOKS_OF_FLOWS: Mapping[str, Look] = {
    RUNNING: LOOKS[Status.PROCESSING],
    DONE: LOOKS[Status.DONE],
    FAILED: LOOKS[Status.FAILED],
    CANCELED: LOOKS[Status.CANCELED],
}

#: statuses in the order in which people want to know of them
BY_INTEREST = (
    *(Status.FAILED, Status.TIMEOUT, Status.PROCESSING, Status.WAITING),
    *(Status.POSTPONED, Status.CANCELED, Status.DONE),
)

MOST_FAILED = 20  #: failed jobs in the record of a flow

MOST_BEFORE = 10  #: jobs that a job of a flow comes after, in its record

_LONGEST_LABEL = 60  #: characters in a sentence

_NAMED = 2  #: of those, in a sentence

_RANKS = {status: rank for rank, status in enumerate(BY_INTEREST)}


def rank(status: Status) -> int:
    """Returns how early a status is shown; one that is none comes first."""
    return _RANKS.get(status, -1)


def state_of(flow: FlowState, fancy: bool) -> str:
    """Returns the status of a flow with its sign, for people."""
    look = LOOKS_OF_FLOWS[flow.status]
    return f"{look.glyph if fancy else look.ascii} {flow.status}"


def percent(flow: FlowState) -> str:
    """Returns how many of its jobs have ended; only a flow that has ended is at 100%."""
    return f"{flow.progress if flow.has_ended else min(99.0, flow.progress):.0f}%"


def counts_of(flow: FlowState) -> dict[Status, int]:
    """Returns how many jobs are in which status, in the order in which people want to know of them."""
    named = {status.label: status for status in BY_INTEREST}
    found = {named[name]: number for name, number in flow.counts.items() if name in named}
    return {status: found[status] for status in BY_INTEREST if found.get(status)}


def counted(counts: Mapping[Status, int]) -> str:
    """Returns how many jobs are in which status, in words: `1 failed, 3 done`."""
    return ", ".join(f"{number} {status.label}" for status, number in counts.items())


def folded(counts: Mapping[Status, int], what: str = "more") -> str:
    """Returns what stands for jobs that are not shown: `97 more done`, or `9 more: 4 waiting, 5 done`."""
    total, ordered = sum(counts.values()), {status: counts[status] for status in sorted(counts, key=rank)}
    return f"{total} {what} {counted(ordered).partition(' ')[2]}" if len(ordered) == 1 else (
        f"{total} {what}: {counted(ordered)}"
    )  # fmt: skip


def age(flow: FlowState, now: datetime) -> str:
    """Returns how long ago a flow was added."""
    return "" if flow.created is None else brief(max(0.0, (now - flow.created).total_seconds()))


def took(flow: FlowState) -> str:
    """Returns how long a flow took that has ended."""
    if flow.created is None or flow.ended is None:
        return ""
    return brief(max(0.0, (flow.ended - flow.created).total_seconds()))


def note(flow: FlowState) -> str:
    """Returns how its jobs are, and why it was cancelled."""
    return "; ".join(part for part in (counted(counts_of(flow)), flow.reason or "") if part)


def row(flow: FlowState, now: datetime) -> tuple[str, ...]:
    """Returns the cells of a flow, in the order of COLUMNS."""
    times = (age(flow, now), took(flow))
    return (str(flow.id), flow.name, flow.status, percent(flow), str(flow.total), *times, note(flow))


def record(flow: FlowState) -> dict[str, Any]:
    """Returns a flow for programs."""
    return {
        "id": flow.id,
        "name": flow.name,
        "status": flow.status,
        "progress": round(flow.progress, 2),
        "total": flow.total,
        "counts": flow.counts,
        "created": flow.created,
        "ended": flow.ended,
        "reason": flow.reason,
    }


def failed_of(tree: FlowTree) -> list[FlowNode]:
    """Returns the first jobs that failed or timed out, which `describe` has to read."""
    return tree.failed()[:MOST_FAILED]


def detailed(tree: FlowTree) -> dict[str, Any]:
    """Returns a flow for programs, with its depth and the jobs that failed first, which have been read."""
    depth = max((node.layer + 1 for node in tree.nodes), default=0)
    return {**record(FlowState(tree.flow)), "depth": depth, "failed": [node_record(one) for one in failed_of(tree)]}


def node_record(node: FlowNode) -> dict[str, Any]:
    """Returns a job of a flow for programs: of the jobs that it comes after, the first ones and their number."""
    job = node.document
    fields = ("started", "ended", "node", "attempt", "progress", "message", "error", "reason")
    return {
        "id": node.id,
        "label": node.label,
        "job": job.get("class"),
        "state": node.status.label,
        "layer": node.layer,
        "after": [one.id for one in node.before[:MOST_BEFORE]],
        "after_count": len(node.before),
        "on_failure": node.on_failure,
        **{name: job.get(name) for name in fields},
    }


def hindrance(action: str, flow: FlowState) -> str:
    """Returns why an action on a flow is not possible now; empty if it is."""
    if action == "cancel":
        return f"It has ended: it is {flow.status}." if flow.has_ended else ""
    has_failed = any(flow.counts.get(status.label) for status in DEAD_LETTERS)
    return "" if has_failed else "None of its jobs has failed."


def refusal(action: str, flow: FlowState) -> str:
    """Returns why an action on a flow has changed nothing."""
    return hindrance(action, flow) or "Somebody else was faster."


def before(node: FlowNode) -> str:
    """Returns what a job waits for, or comes after: `waits for Pack`, `waits for 2 of 9: Pack, Fold`, `after Pack`."""
    if not node.before or node.status is Status.CANCELED:
        return ""
    names = ", ".join(_short(one.label) for one in mentioned(node))
    total, left = len(node.before), sum(not one.status.is_final for one in node.before)
    if not waits(node):
        return f"after {names}" + (f" and {total - _NAMED} more" if total > _NAMED else "")
    if total == 1 or not left:
        return f"waits for {names}" if left else "goes on in a moment"
    return f"waits for {left} of {total}: {names}" + ("" if left <= _NAMED else ", ...")


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[:_LONGEST_LABEL]}..."


def waits(node: FlowNode) -> bool:
    """Whether a job waits for those before it."""
    return node.status is Status.POSTPONED and node.join is not None and "parked_at" in node.document


def mentioned(node: FlowNode) -> Sequence[FlowNode]:
    """Returns the jobs before a job that `before` names: those that it waits for, if it does."""
    left = () if node.status.is_final else (one for one in node.before if not one.status.is_final)
    return list(islice(left, _NAMED)) or node.before[:_NAMED]


def node_news(node: FlowNode, job: Process, now: datetime) -> str:
    """Returns what matters about a job of a flow now: its error, its progress, or why it was cancelled."""
    if node.status is Status.CANCELED:
        return job.reason or ""
    if waits(node):
        return ""  # it waits for those before it, which `before` says
    return error_line(job.error) if node.status in DEAD_LETTERS else news(job, now)


def jobs_text(flow: FlowState) -> str:
    """Returns how many jobs a flow has, and how they are."""
    counts = counted(counts_of(flow))
    return plural(flow.total, "job") + (f": {counts}" if counts else "")
