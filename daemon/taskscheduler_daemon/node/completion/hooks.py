"""Has workers call the notification hooks of ended jobs, each once unless a node or manager dies in between.

Those that no worker had time for stay due, and those of classes that are not registered here: another node calls them.
"""

from __future__ import annotations

import logging
from collections import deque

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.model import lenient
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.sound import sound
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Flag, Report, Run

logger = logging.getLogger(__name__)

HOOK_TIMEOUT = 60.0  #: seconds that a notification may take

#: the attempt number of a run that calls a hook, so that its end is not taken for that of the job: a job that others
#: have cancelled may still run here
NOTIFICATION = 0


def hook_run(job_id: ObjectId, document: RawBSONDocument) -> Run:
    """Returns the run that calls a job's notification hook."""
    return Run(job_id.binary, NOTIFICATION, HOOK_TIMEOUT, Flag.HOOK, bytes(document.raw))


class HookCalls:
    """Passes hook calls to the manager, and keeps those that it has not reported yet."""

    def __init__(self, store: Store, manager: ManagerProxy, boot: ObjectId) -> None:
        self._store = store
        self._manager = manager
        self._boot = boot
        self.unknown: frozenset[str] = frozenset()  #: classes that the workers of this node do not know
        self._called: set[bytes] = set()
        self._ended: deque[ObjectId] = deque()  #: called, and not yet noted in the database
        self._stopped = False

    def stop(self) -> None:
        """Accepts no more calls; they stay in the outbox for other nodes."""
        self._stopped = True

    def call(self, job_id: ObjectId) -> None:
        """Has a worker call the hook of an ended job, unless another node does or has to. Raises StoreError."""
        if self._stopped:
            return
        document = self._store.claims.raw_document(job_id)  # first: if that fails, the call stays due
        if document is None or sound(lenient.decode(bytes(document.raw)), "class") in self.unknown:
            return
        if self._store.outbox.begin_hook(job_id, self._boot):
            self._called.add(job_id.binary)
            self._manager.dispatch([hook_run(job_id, document)])

    def finished(self, report: Report) -> None:
        """Puts a call that did not take place back into the outbox. Ignores reports that are not about hooks."""
        if report.attempt != NOTIFICATION:
            return
        if report.job_id in self._called and report.ending is Ending.UNSTARTED:
            self._learn(report.content().get("unknown"))
            try:
                self._store.outbox.return_hook(ObjectId(report.job_id), self._boot)
            except StoreError as error:
                facts = {"job": report.job_id.hex(), "reason": str(error)[:200]}
                logger.error("notification delayed until this node ends", extra=facts)
        elif report.job_id in self._called:
            self._ended.append(ObjectId(report.job_id))
        self._called.discard(report.job_id)

    def flush(self) -> None:
        """Notes which hooks were called. Raises StoreError: then they are noted the next time."""
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        if not ended:
            return
        try:
            self._store.outbox.end_hooks(ended, self._boot)
        except BaseException:
            self._ended.extend(ended)
            raise

    def close(self) -> None:
        """Leaves to others what was not called to its end. Raises StoreError."""
        self.flush()
        self._store.outbox.return_hooks(self._boot)

    def _learn(self, name: object) -> None:
        """Notes a class that is not registered here, for as long as this node runs: its modules do not change."""
        if isinstance(name, str) and name not in self.unknown:
            logger.info("notifications of a job class that is not registered here are left to others: %s", name)
            self.unknown |= {name}  # a new set: another thread reads it
