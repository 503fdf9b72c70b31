"""Sets aside jobs whose documents cannot be used, so that they cost only themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.readable import Fault
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief

logger = logging.getLogger(__name__)


def set_aside(store: Store, job_id: Any, fault: Fault, held: Mapping[str, Any]) -> bool:
    """Fails a live job that still matches `held`, with an InvalidDocumentError that names the field.

    Returns whether it did; a job that the database cannot change is logged and left as it is.
    """
    facts = {"job": str(job_id), "field": fault.field}
    try:
        if not store.invalid_jobs.fail(job_id, fault.error(), held):
            return False
        logger.warning("stored job cannot be used: its field %s %s", *fault, extra=facts)
        if isinstance(job_id, ObjectId):
            store.events.append([{"job": job_id, "status": int(Status.FAILED), "attempt": 0}])
            store.outbox.deliver(job_id)
    except StoreError as error:
        logger.warning("job with an unusable document not failed yet", extra={**facts, "reason": brief(error)})
        return False
    return True
