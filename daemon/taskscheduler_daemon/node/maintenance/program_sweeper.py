"""ProgramSweeper: ends the records of programs that have stopped reporting."""

from __future__ import annotations

import logging

from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

logger = logging.getLogger(__name__)


class ProgramSweeper(Duty):
    """Times out tracked programs that are silent for too long, and fails those that are known to be gone."""

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(lease, polls=2)
        self._store = store

    def run(self) -> None:
        """Ends silent records once. Raises StoreError."""
        for record in self._store.programs.end_silent({}):
            error = record.get("error") or {}
            facts = {"job": str(record["_id"]), "job_name": record.get("class")}
            logger.warning(f"program given up: {error.get('message')}", extra=facts)
