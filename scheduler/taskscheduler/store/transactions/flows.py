"""Reads and writes flows in a transaction, told as steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.options import FLOWS
from taskscheduler.store.flows.flow_store import FlowStore
from taskscheduler.store.transactions.preparing import apart
from taskscheduler.store.transactions.steps import Apart, Call, Steps


class FlowSteps:
    """The flows of one database, in a transaction."""

    def __init__(self, flows: FlowStore) -> None:
        self._flows = flows

    def prepare(self) -> Steps[None]:
        """Creates what the first flow of a database needs. Begins the transaction again if that takes too long."""
        if not self._flows.is_ensured:
            yield Apart(lambda: apart(self._flows.ensure, "the first flow"))

    def get(self, flow_id: ObjectId) -> Steps[Document | None]:
        """Returns the flow with this id."""
        found: Document | None = yield Call(FLOWS, "find_one", ({"_id": flow_id},))
        return found

    def statuses(self, flow_id: ObjectId) -> Steps[list[Document]]:
        """Returns the jobs of a flow, only with their statuses."""
        jobs: list[Document] = yield Call(self._flows.jobs.collection.name, "find", ({"flow": flow_id}, {"status": 1}))
        return jobs

    def insert(self, flow: Mapping[str, Any]) -> Steps[None]:
        """Stores a flow."""
        yield Call(FLOWS, "insert_one", (dict(flow),))
