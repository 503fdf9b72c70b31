"""Tells the database when nothing is left of a service or solo job that was ended from outside: others wait for it."""

from __future__ import annotations

import logging

from pymongo.errors import PyMongoError

from taskscheduler.store import Store
from taskscheduler.store.attempts import Fence
from taskscheduler_daemon.ledger import Attempt

logger = logging.getLogger(__name__)

_REMEMBERED = 1000  #: ends; whoever waits for the word on an older one waits for the lease


class Departures:
    """The exclusive jobs that were cancelled and whose processes may still be here."""

    def __init__(self, store: Store, lease: float) -> None:
        self._store = store
        self._lease = lease
        self._expected: dict[bytes, Attempt] = {}
        self._ended: dict[bytes, Attempt] = {}  #: those that ended by themselves, the newest last
        self._untold: list[Attempt] = []  #: those of which the database could not be told

    def expect(self, attempt: Attempt) -> None:
        """An attempt was cancelled; nothing to do unless it is exclusive."""
        if attempt.exclusive:
            self._expected[attempt.fence.job_id.binary] = attempt
            self._hold(attempt)

    def renew(self) -> None:
        """Keep the turns of what is still here, and tell the database what it could not be told before."""
        while self._untold and self._note(self._untold.pop(0)):
            pass
        for attempt in list(self._expected.values()):
            self._hold(attempt)

    def _hold(self, attempt: Attempt) -> None:
        """A service needs none: whoever starts it again waits as long as this node lives."""
        if "solo" not in attempt.job:
            return
        try:
            self._store.gates.hold(attempt.fence, self._lease)
        except PyMongoError as error:
            reason = {"job": str(attempt.fence.job_id), "reason": str(error)[:200]}
            logger.warning("turn of a cancelled job not renewed", extra=reason)

    def ended(self, attempt: Attempt) -> None:
        """An attempt has ended by itself; an exclusive one may be cancelled before that is written."""
        if not attempt.exclusive:
            return
        job_id = attempt.fence.job_id.binary
        self._ended.pop(job_id, None)
        self._ended[job_id] = attempt
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def canceled(self, job_id: bytes) -> None:
        """A job was cancelled that is not here, or not any more."""
        attempt = self._ended.pop(job_id, None)
        if attempt is not None:
            self._note(attempt)

    def refused(self, fence: Fence) -> None:
        """The end of an attempt was not written, as others had ended it before; the word of that may be lost."""
        attempt = self._ended.get(fence.job_id.binary)
        if attempt is not None and attempt.fence == fence:
            self.canceled(fence.job_id.binary)

    def gone(self, job_id: bytes, attempt: int) -> None:
        """The manager has nothing left of this attempt. Whoever waits for the word has a deadline, too."""
        expected = self._expected.get(job_id)
        if expected is None or expected.fence.attempt != attempt:
            return
        del self._expected[job_id]
        self._note(expected)

    def all_gone(self) -> None:
        """Nothing is left of any: the manager has ended."""
        for attempt in list(self._expected.values()):
            self.gone(attempt.fence.job_id.binary, attempt.fence.attempt)

    def _note(self, attempt: Attempt) -> bool:
        """Whether the database could be told."""
        try:
            if "service" in attempt.job:
                self._store.services.gone(attempt.fence)
            else:
                self._store.gates.left(attempt.fence)
        except PyMongoError as error:
            reason = {"job": str(attempt.fence.job_id), "reason": str(error)[:200]}
            logger.warning("end of a cancelled job not noted yet", extra=reason)
            self._untold.append(attempt)
            return False
        return True
