"""Tells the database when the process of a service that was cancelled is gone, so that it may be started again."""

from __future__ import annotations

import logging

from pymongo.errors import PyMongoError

from taskscheduler.store import Store
from taskscheduler.store.attempts import Fence
from taskscheduler_daemon.ledger import Attempt

logger = logging.getLogger(__name__)


class Departures:
    """The cancelled services whose processes may still be here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._expected: dict[bytes, Fence] = {}
        self._ended: dict[bytes, Fence] = {}  #: the newest attempt of each service that ended by itself

    def expect(self, attempt: Attempt) -> None:
        """An attempt was cancelled; nothing to do unless it is one of a service."""
        if "service" in attempt.job:
            self._expected[attempt.fence.job_id.binary] = attempt.fence

    def ended(self, attempt: Attempt) -> None:
        """An attempt has ended by itself; it may be cancelled before that is written."""
        if "service" in attempt.job:
            self._ended[attempt.fence.job_id.binary] = attempt.fence

    def canceled(self, job_id: bytes) -> None:
        """A job was cancelled that is not here, or not any more."""
        fence = self._ended.pop(job_id, None)
        if fence is not None:
            self._note(fence)

    def gone(self, job_id: bytes, attempt: int) -> None:
        """The manager has nothing left of this attempt. Whoever waits for the word has a deadline, too."""
        fence = self._expected.get(job_id)
        if fence is None or fence.attempt != attempt:
            return
        del self._expected[job_id]
        self._note(fence)

    def _note(self, fence: Fence) -> None:
        try:
            self._store.services.gone(fence)
        except PyMongoError as error:
            reason = {"job": str(fence.job_id), "reason": str(error)[:200]}
            logger.warning("end of a service not noted", extra=reason)
