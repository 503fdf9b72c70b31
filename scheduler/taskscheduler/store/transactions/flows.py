"""Reads and writes flows in a transaction, told as steps."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import Any

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.options import FLOWS
from taskscheduler.store.flows.flow_store import FlowStore
from taskscheduler.store.transactions.sessions import conflict
from taskscheduler.store.transactions.steps import Apart, Call, Steps

_PATIENCE = 1.0  #: seconds for which the indexes of the first flow of a database are waited for


class FlowSteps:
    """The flows of one database, in a transaction."""

    def __init__(self, flows: FlowStore) -> None:
        self._flows = flows

    def prepare(self) -> Steps[None]:
        """Creates what the first flow of a database needs.

        The server builds no index on jobs while an open transaction has written some. Such a transaction has to begin
        again: the indexes are built when it has ended.
        """
        if not (yield Apart(self._is_ensured)):
            raise conflict("the indexes of the first flow are not built before the transaction has ended")

    def _is_ensured(self) -> bool:
        if self._flows.is_ensured:
            return True
        thread = ThreadPoolExecutor(1, "taskscheduler-flows")
        try:
            thread.submit(self._flows.ensure).result(_PATIENCE)
        except LateError:
            return False
        finally:
            thread.shutdown(wait=False)
        return True

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
