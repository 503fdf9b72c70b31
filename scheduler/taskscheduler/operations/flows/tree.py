"""The jobs of a stored flow and what each comes after, with their statuses: what commands and pages show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from bson import ObjectId

from taskscheduler.errors import FlowNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.flows.graph import layers_of
from taskscheduler.model.flows.membership import CANCEL, FALLEN, POLICIES
from taskscheduler.model.lifecycle import DEAD_LETTERS, UNSUCCESSFUL, Status
from taskscheduler.model.sound import is_text, status_of
from taskscheduler.store import Store

#: what is read of each job: not what may be large
_FIELDS = dict.fromkeys(
    ("class", "queue", "status", "label", "joins", "after", "on_failure", "attempt", "progress", "message", "created",
     "started", "ended", "node", "at", "parked_at", "blocked", "error.type", "error.message", "reason", "flow",
     "pending", FALLEN),
    1,
)  # fmt: skip


#: what is not read of the jobs that are shown
_BULKY = dict.fromkeys(("data", "result", "inputs", "steps", "signals", "attempts", "error.traceback"), 0)

_STATUSES: Mapping[Any, Status] = {int(status): status for status in Status}

#: what is read of all jobs, which may be many
_SHAPE = dict.fromkeys(("status", "joins", "after"), 1)


@dataclass(slots=True, eq=False)
class FlowNode:
    """One job of a flow."""

    document: Document  #: without data, result and attempts
    status: Status
    layer: int = 0  #: how many come one after another before it, at most
    before: Sequence[FlowNode] = ()  #: the jobs that it comes after, as far as they are stored

    @property
    def id(self) -> ObjectId:
        job_id: ObjectId = self.document["_id"]
        return job_id

    @property
    def join(self) -> ObjectId | None:
        """The join that it comes after."""
        join = self.document.get("after")
        return join if isinstance(join, ObjectId) else None

    @property
    def label(self) -> str:
        """Its name in the flow."""
        label = self.document.get("label")
        return str(label) if is_text(label) else str(self.id)

    @property
    def on_failure(self) -> str:
        """What a failure of one that it comes after means for it: cancel, run or skip."""
        policy = self.document.get("on_failure", CANCEL)
        return str(policy) if policy in POLICIES else CANCEL

    def may_go_on(self, back: Collection[FlowNode]) -> bool:
        """Whether it was cancelled because of others, and none of them is in its way once these are put back."""
        if not self.before or self.document.get(FALLEN) is not True:
            return False
        return all(node.status not in UNSUCCESSFUL or node in back for node in self.before)

    def describe(self, document: Document) -> None:
        """Takes over what was read of it."""
        self.document, self.status = document, status_of(document)


@dataclass(slots=True)
class FlowTree:
    """A flow with all of its jobs that are stored, in the order in which they can run."""

    flow: Document
    nodes: list[FlowNode]

    def failed(self) -> list[FlowNode]:
        """Returns the jobs that failed or timed out."""
        return [node for node in self.nodes if node.status in DEAD_LETTERS]

    def fallen(self) -> list[FlowNode]:
        """Returns the jobs that were cancelled since others, before them, failed or timed out.

        They count also if those others were put back since: a program may have died before it put these back.
        """
        down = set(self.failed())
        found = []
        for node in self.nodes:
            never_ran = node.status is Status.CANCELED and not node.document.get("attempt")
            if never_ran and node.on_failure == CANCEL and (not down.isdisjoint(node.before) or node.may_go_on(down)):
                down.add(node)
                found.append(node)
        return found


def flow_tree(store: Store, flow_id: ObjectId) -> FlowTree:
    """Reads a flow and its jobs. FlowNotFoundError."""
    flow = store.flows.get(flow_id)
    if flow is None:
        raise FlowNotFoundError(flow_id)
    return FlowTree(flow, nodes_of(store.flows.jobs.of(flow_id, _FIELDS)))


def flow_shape(store: Store, flow_id: ObjectId) -> FlowTree:
    """Reads a flow and of its jobs, which may be many, only the statuses and what each comes after. FlowNotFoundError.

    `describe` reads more of those that are shown.
    """
    flow = store.flows.get(flow_id)
    if flow is None:
        raise FlowNotFoundError(flow_id)
    nodes = nodes_of(store.flows.jobs.of(flow_id, _SHAPE))
    counts = {status.label: number for status, number in sorted(Counter(node.status for node in nodes).items())}
    return FlowTree({"counts": counts, **flow}, nodes)


def describe(store: Store, nodes: Iterable[FlowNode]) -> None:
    """Reads what people want to know of some jobs of a flow. One that was deleted meanwhile stays as it is."""
    wanted = {node.id: node for node in nodes}
    for document in store.flows.jobs.some(list(wanted), _BULKY):
        wanted[document["_id"]].describe(document)


def nodes_of(documents: Sequence[Document]) -> list[FlowNode]:
    """Returns the jobs of a flow in the order in which they can run."""
    numbers = _Numbers()
    nodes = [FlowNode(document, _quick_status(document)) for document in documents]
    joins = [_numbered(document.get("joins"), numbers) for document in documents]
    owns = (document.get("after") for document in documents)
    after = [numbers[own] if isinstance(own, ObjectId) else None for own in owns]
    members: list[list[FlowNode]] = [[] for _ in numbers]
    for node, listed in zip(nodes, joins, strict=True):
        for number in listed:
            members[number].append(node)
    for node, own, layer in zip(nodes, after, layers_of(after, joins), strict=True):
        node.layer = layer
        if own is not None:
            node.before = members[own]
    return sorted(nodes, key=attrgetter("layer"))


def _quick_status(document: Document) -> Status:
    stored = document.get("status")
    return _STATUSES[stored] if type(stored) is int and stored in _STATUSES else status_of(document)


class _Numbers(dict[ObjectId, int]):
    """Numbers joins, as they are asked for: a flow may have many, and ids take long to compare."""

    def __missing__(self, join: ObjectId) -> int:
        self[join] = number = len(self)
        return number


def _numbered(joins: Any, numbers: _Numbers) -> list[int]:
    """Returns the numbers of joins, which anybody may have stored."""
    return [numbers[join] for join in joins if isinstance(join, ObjectId)] if isinstance(joins, list) else []
