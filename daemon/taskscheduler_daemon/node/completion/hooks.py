"""Has workers call the notification hooks of ended jobs, each once; those that no worker had time for stay due."""

from __future__ import annotations

import logging

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.model.lifecycle import Ending
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.outbox import HOOK
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

    def __init__(self, store: Store, manager: ManagerProxy) -> None:
        self._store = store
        self._manager = manager
        self._called: set[bytes] = set()
        self._stopped = False

    def stop(self) -> None:
        """Accepts no more calls; they stay in the outbox for other nodes."""
        self._stopped = True

    def call(self, job_id: ObjectId) -> None:
        """Has a worker call the hook of an ended job, unless another node does. Raises StoreError."""
        if self._stopped:
            return
        document = self._store.claims.raw_document(job_id)  # first: if that fails, the call stays due
        if document is not None and self._store.outbox.acknowledge(job_id, HOOK):
            self._called.add(job_id.binary)
            self._manager.dispatch([hook_run(job_id, document)])

    def finished(self, report: Report) -> None:
        """Puts a call that no worker had time for back into the outbox. Ignores reports that are not about hooks."""
        if report.attempt != NOTIFICATION:
            return
        if report.job_id in self._called and report.ending is Ending.UNSTARTED:
            try:
                self._store.outbox.restore(ObjectId(report.job_id), HOOK)
            except StoreError as error:
                logger.error("notification lost", extra={"job": report.job_id.hex(), "reason": str(error)[:200]})
        self._called.discard(report.job_id)
