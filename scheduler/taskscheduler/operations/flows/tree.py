"""The jobs of a stored flow and what each comes after, with their statuses: what commands and pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from taskscheduler.errors import FlowNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.flows.graph import layers_of
from taskscheduler.model.flows.membership import CANCEL, POLICIES
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status
from taskscheduler.model.sound import is_text, status_of
from taskscheduler.store import Store

#: what is read of each job: not what may be large
_FIELDS = dict.fromkeys(
    ("class", "queue", "status", "label", "joins", "after", "on_failure", "attempt", "progress", "message", "created",
     "started", "ended", "node", "at", "parked_at", "blocked", "error.type", "error.message", "reason", "flow",
     "pending"),
    1,
)  # fmt: skip


@dataclass(slots=True)
class FlowNode:
    """One job of a flow."""

    document: Document  #: without data, result and attempts
    layer: int = 0  #: how many come one after another before it, at most
    after: list[ObjectId] = field(default_factory=list)  #: the jobs that it comes after, as far as they are stored

    @property
    def id(self) -> ObjectId:
        job_id: ObjectId = self.document["_id"]
        return job_id

    @property
    def label(self) -> str:
        """Its name in the flow."""
        label = self.document.get("label")
        return str(label) if is_text(label) else str(self.id)

    @property
    def status(self) -> Status:
        return status_of(self.document)

    @property
    def on_failure(self) -> str:
        """What a failure of one that it comes after means for it: cancel, run or skip."""
        policy = self.document.get("on_failure", CANCEL)
        return str(policy) if policy in POLICIES else CANCEL


@dataclass(slots=True)
class FlowTree:
    """A flow with all of its jobs that are stored, in the order in which they can run."""

    flow: Document
    nodes: list[FlowNode]

    def failed(self) -> list[FlowNode]:
        """Returns the jobs that failed or timed out."""
        return [node for node in self.nodes if node.status in DEAD_LETTERS]

    def fallen(self) -> list[FlowNode]:
        """Returns the jobs that were cancelled since others, before them, failed or timed out."""
        down = {node.id for node in self.failed()}
        found = []
        for node in self.nodes:
            never_ran = node.status is Status.CANCELED and not node.document.get("attempt")
            if never_ran and node.on_failure == CANCEL and not down.isdisjoint(node.after):
                down.add(node.id)
                found.append(node)
        return found


def flow_tree(store: Store, flow_id: ObjectId) -> FlowTree:
    """Reads a flow and its jobs. FlowNotFoundError."""
    flow = store.flows.get(flow_id)
    if flow is None:
        raise FlowNotFoundError(flow_id)
    return FlowTree(flow, nodes_of(store.flows.jobs.of(flow_id, _FIELDS)))


def nodes_of(documents: Sequence[Document]) -> list[FlowNode]:
    """Returns the jobs of a flow in the order in which they can run."""
    members: dict[Any, list[ObjectId]] = {}
    for document in documents:
        for join in _ids(document.get("joins")):
            members.setdefault(join, []).append(document["_id"])
    nodes = [FlowNode(document, after=members.get(_join_of(document), [])) for document in documents]
    layers = layers_of({node.id: node.after for node in nodes})
    for node in nodes:
        node.layer = layers[node.id]
    return sorted(nodes, key=lambda node: node.layer)


def _join_of(document: Mapping[str, Any]) -> ObjectId | None:
    join = document.get("after")
    return join if isinstance(join, ObjectId) else None


def _ids(value: Any) -> list[ObjectId]:
    return [one for one in value if isinstance(one, ObjectId)] if isinstance(value, list) else []
