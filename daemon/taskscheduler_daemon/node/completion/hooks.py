"""Has workers call the notifications of ended jobs, each once, and owes again those that none had time for."""

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

HOOK_TIMEOUT = 60.0  #: seconds that a notification may take

#: stands for the attempt in a run of a hook, so that its end is not taken for that of the job: that may still be here,
#: cancelled by somebody of whom this node has not heard yet
NOTIFICATION = 0


def hook_run(document: RawBSONDocument) -> Run:
    """A run that calls a job's notification hook."""
    return Run(document["_id"].binary, NOTIFICATION, HOOK_TIMEOUT, Flag.HOOK, bytes(document.raw))


logger = logging.getLogger(__name__)


class HookCalls:
    """Those that are in the hands of the manager."""

    def __init__(self, store: Store, down: ManagerProxy) -> None:
        self._store = store
        self._down = down
        self._called: set[bytes] = set()
        self._stopped = False

    def stop(self) -> None:
        """Take on no more of them."""
        self._stopped = True

    def call(self, job_id: ObjectId) -> None:
        """Have a worker call the notification of an ended job, if nobody else has taken that on."""
        if self._stopped:
            return
        document = self._store.claims.raw_document(job_id)  # first: if that fails, it is owed as before
        if document is not None and self._store.outbox.acknowledge(job_id, HOOK):
            self._called.add(job_id.binary)
            self._down.dispatch([hook_run(document)])

    def finished(self, report: Report) -> None:
        """One that no worker had time for is owed again: here, or by another node. Other reports mean nothing."""
        if report.attempt != NOTIFICATION:
            return
        if report.job_id in self._called and report.ending is Ending.UNSTARTED:
            try:
                self._store.outbox.restore(ObjectId(report.job_id), HOOK)
            except StoreError as error:
                logger.error("notification lost", extra={"job": report.job_id.hex(), "reason": str(error)[:200]})
        self._called.discard(report.job_id)
