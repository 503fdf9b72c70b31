"""Releases the lock of a cancelled service or solo job once its process is gone; others wait for that lock."""

from __future__ import annotations

import logging
from typing import NamedTuple

from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.lease import Lease

logger = logging.getLogger(__name__)

_REMEMBERED = 1000  #: ended attempts; whoever waits for the lock of an older one waits until its lease ends


class HeldLock(NamedTuple):
    """The part of an exclusive attempt that is kept while its process exits (its data may be large)."""

    fence: Fence
    is_service: bool


class ExclusiveLocks:
    """Holds the locks of exclusive jobs that were cancelled here and whose processes may still exist."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._exiting: dict[bytes, HeldLock] = {}
        self._ended: dict[bytes, HeldLock] = {}  #: ended without a cancellation that we know of, the newest last
        self._unreleased: list[HeldLock] = []  #: locks that the database could not be asked to release

    def await_exit(self, attempt: Attempt) -> None:
        """Keeps the lock of a cancelled attempt until its process is gone; does nothing unless it is exclusive."""
        if attempt.exclusive:
            self._exiting[attempt.fence.job_id.binary] = _lock_of(attempt)

    def exiting(self) -> list[Fence]:
        """Returns the cancelled attempts whose processes may still exist."""
        return [lock.fence for lock in list(self._exiting.values())]

    def forget(self, attempt: Attempt) -> None:
        """Drops the lock of an attempt that had ended before it was cancelled."""
        self._exiting.pop(attempt.fence.job_id.binary, None)

    def extend(self, attempt: Attempt) -> None:
        """Extends the lock of a cancelled attempt if its process may still exist."""
        lock = self._exiting.get(attempt.fence.job_id.binary)
        if lock is not None:
            self._extend(lock)

    def extend_all(self) -> None:
        """Extends the locks of processes that still exist, and releases those that could not be released before."""
        while self._unreleased and self._release(self._unreleased.pop(0)):
            pass
        for lock in list(self._exiting.values()):
            self._extend(lock)

    def _extend(self, lock: HeldLock) -> None:
        """A service has no lock in the database: whoever starts it again waits as long as this node lives."""
        if lock.is_service:
            return
        try:
            self._store.places.extend(lock.fence, self._lease.duration)
        except StoreError as error:
            reason = {"job": str(lock.fence.job_id), "reason": str(error)[:200]}
            logger.warning("lock of a cancelled job not extended", extra=reason)

    def release_after_end(self, attempt: Attempt) -> None:
        """Remembers that an exclusive attempt has ended: it may be cancelled before that is written."""
        if not attempt.exclusive:
            return
        job_id = attempt.fence.job_id.binary
        self._ended.pop(job_id, None)
        self._ended[job_id] = _lock_of(attempt)
        if len(self._ended) > _REMEMBERED:
            self._ended.pop(next(iter(self._ended)), None)  # other threads remove some, too

    def already_ended(self, job_id: bytes) -> None:
        """Releases the lock of a cancelled job that is not in flight here (any more)."""
        ended = self._ended.pop(job_id, None)
        if ended is not None:
            self._release(ended)

    def release_unknown(self, fence: Fence) -> None:
        """Releases the lock of an attempt whose end was refused: it was cancelled, but the message may be lost."""
        ended = self._ended.get(fence.job_id.binary)
        if ended is not None and ended.fence == fence:
            self.already_ended(fence.job_id.binary)

    def release(self, job_id: bytes, attempt: int) -> None:
        """Releases the lock of a cancelled attempt: its process is gone."""
        lock = self._exiting.get(job_id)
        if lock is None or lock.fence.attempt != attempt:
            return
        if self._exiting.pop(job_id, None) is not None:  # another thread may do the same
            self._release(lock)

    def release_all(self) -> None:
        """Releases the lock of every cancelled attempt: the manager is gone, and with it all processes."""
        for lock in list(self._exiting.values()):
            self.release(lock.fence.job_id.binary, lock.fence.attempt)

    def _release(self, lock: HeldLock) -> bool:
        """Returns whether the database answered; if not, `extend_all` tries again."""
        try:
            if lock.is_service:
                self._store.services.gone(lock.fence)
            else:
                self._store.admission.release(lock.fence)
        except StoreError as error:
            reason = {"job": str(lock.fence.job_id), "reason": str(error)[:200]}
            logger.warning("lock of a cancelled job not released yet", extra=reason)
            self._unreleased.append(lock)
            return False
        return True


def _lock_of(attempt: Attempt) -> HeldLock:
    return HeldLock(attempt.fence, "service" in attempt.job)
