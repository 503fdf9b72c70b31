"""Tells the database when nothing is left of a service or solo job that was ended from outside: others wait for it."""

from __future__ import annotations

import logging
from typing import NamedTuple

from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.state.in_flight import Attempt

logger = logging.getLogger(__name__)

_REMEMBERED = 1000  #: ends; whoever waits for the word on an older one waits for the lease


class HeldLock(NamedTuple):
    """What is to be known of an exclusive attempt; its data may be large."""

    fence: Fence
    is_service: bool


class ExclusiveLocks:
    """The exclusive jobs that were cancelled and whose processes may still be here."""

    def __init__(self, store: Store, lease: float) -> None:
        self._store = store
        self._lease = lease
        self._expected: dict[bytes, HeldLock] = {}
        self._ended: dict[bytes, HeldLock] = {}  #: those that ended by themselves, the newest last
        self._unreleased: list[HeldLock] = []  #: those of which the database could not be told

    def await_exit(self, attempt: Attempt) -> None:
        """An attempt was cancelled; nothing to do unless it is exclusive."""
        if attempt.exclusive:
            expected = self._expected[attempt.fence.job_id.binary] = _held_lock(attempt)
            self._extend(expected)

    def forget(self, attempt: Attempt) -> None:
        """It had ended by itself before."""
        self._expected.pop(attempt.fence.job_id.binary, None)

    def extend_all(self) -> None:
        """Keep the turns of what is still here, and tell the database what it could not be told before."""
        while self._unreleased and self._release(self._unreleased.pop(0)):
            pass
        for expected in list(self._expected.values()):
            self._extend(expected)

    def _extend(self, one: HeldLock) -> None:
        """A service needs none: whoever starts it again waits as long as this node lives."""
        if one.is_service:
            return
        try:
            self._store.solo_locks.extend(one.fence, self._lease)
        except StoreError as error:
            reason = {"job": str(one.fence.job_id), "reason": str(error)[:200]}
            logger.warning("turn of a cancelled job not renewed", extra=reason)

    def release_after_end(self, attempt: Attempt) -> None:
        """An attempt has ended by itself; an exclusive one may be cancelled before that is written."""
        if not attempt.exclusive:
            return
        job_id = attempt.fence.job_id.binary
        self._ended.pop(job_id, None)
        self._ended[job_id] = _held_lock(attempt)
        if len(self._ended) > _REMEMBERED:
            self._ended.pop(next(iter(self._ended)), None)  # others take from it, too

    def already_ended(self, job_id: bytes) -> None:
        """A job was cancelled that is not here, or not any more."""
        ended = self._ended.pop(job_id, None)
        if ended is not None:
            self._release(ended)

    def release_unknown(self, fence: Fence) -> None:
        """The end of an attempt was not written, as others had ended it before; the word of that may be lost."""
        ended = self._ended.get(fence.job_id.binary)
        if ended is not None and ended.fence == fence:
            self.already_ended(fence.job_id.binary)

    def release(self, job_id: bytes, attempt: int) -> None:
        """The manager has nothing left of this attempt. Whoever waits for the word has a deadline, too."""
        expected = self._expected.get(job_id)
        if expected is None or expected.fence.attempt != attempt:
            return
        del self._expected[job_id]
        self._release(expected)

    def release_all(self) -> None:
        """Nothing is left of any: the manager has ended."""
        for expected in list(self._expected.values()):
            self.release(expected.fence.job_id.binary, expected.fence.attempt)

    def _release(self, one: HeldLock) -> bool:
        """Whether the database could be told."""
        try:
            if one.is_service:
                self._store.services.gone(one.fence)
            else:
                self._store.solo_locks.release(one.fence)
        except StoreError as error:
            reason = {"job": str(one.fence.job_id), "reason": str(error)[:200]}
            logger.warning("end of a cancelled job not noted yet", extra=reason)
            self._unreleased.append(one)
            return False
        return True


def _held_lock(attempt: Attempt) -> HeldLock:
    return HeldLock(attempt.fence, "service" in attempt.job)
