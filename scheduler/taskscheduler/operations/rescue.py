"""Rescues the jobs of lost nodes."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.metrics.counts import Sample
from taskscheduler.model.readable import Fault, fault_of_held
from taskscheduler.model.retries import MAX_LOST
from taskscheduler.operations.finish import break_off_commits, completions_of_lost
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.driver_errors import StoreError, brief, is_refusal

logger = logging.getLogger(__name__)

_MOST_LOGGED = 100  #: jobs of one lost node that are given up, one line each


class Rescued(NamedTuple):
    """A job that a lost node held."""

    job_id: ObjectId
    status: Status  #: that it has now
    sample: Sample | None  #: what to count about its attempt


def rescue(store: Store, boot: ObjectId, node: str, max_lost: int, queue: str | None = None) -> list[Rescued]:
    """Rescues all jobs of a lost node, or those of one queue, and returns each with its new status.

    A job that was charged with `max_lost` losses fails with PoisonedJobError. Jobs of other queues count as well: only
    one that was alone on its node is charged.
    """
    sound, failed = [], list[Rescued]()
    for job in store.leases.jobs_of(boot):
        fault = fault_of_held(job)
        if fault is None:
            sound.append(job)
        elif set_aside(store, job["_id"], fault, _held_by(boot)):
            failed.append(Rescued(job["_id"], Status.FAILED, None))
    wanted = {job["_id"] for job in sound if queue is None or job.get("queue") == queue}
    completions = [one for one in completions_of_lost(sound, node, max_lost) if one.fence.job_id in wanted]
    written = _write(store, boot, completions) if completions else []
    _log_given_up(written)
    return [Rescued(one.fence.job_id, one.verdict.status, one.sample) for one in written] + failed


def _log_given_up(written: list[Completion]) -> None:
    given_up = [one for one in written if one.verdict.status.is_final and one.error is not None]
    for one in given_up[:_MOST_LOGGED]:
        logger.warning("job failed: %(type)s: %(message)s", one.error, extra={"job": str(one.fence.job_id)})
    if len(given_up) > _MOST_LOGGED:
        logger.warning("more jobs failed with their node", extra={"left_out": len(given_up) - _MOST_LOGGED})


def _held_by(boot: ObjectId) -> dict[str, Any]:
    return {"boot": boot, "status": int(Status.PROCESSING)}


def _write(store: Store, boot: ObjectId, completions: list[Completion]) -> list[Completion]:
    """Writes losses and returns them without those that MongoDB refuses, whose jobs fail."""
    try:
        break_off_commits(store, completions)
        store.completions.write(completions)
    except StoreError as error:
        if not is_refusal(error):
            raise
        if len(completions) > 1:
            return [one for completion in completions for one in _write(store, boot, [completion])]
        refused = Fault("document", f"does not take the end of its attempt: {brief(error)}")
        set_aside(store, completions[0].fence.job_id, refused, _held_by(boot))
        return []
    return completions


def restore(store: Store, queue: str | None) -> int:
    """Rescues the jobs of all lost nodes and returns how many wait again; a job that was lost too often fails."""
    owners = store.leases.owners()  # first: a node registers before it claims
    nodes = {node["_id"]: node for node in store.nodes.all()}
    waiting: list[ObjectId] = []
    for boot in owners:
        node = nodes.get(boot)
        if node is not None and not store.nodes.is_over(node):
            continue
        name = str(boot) if node is None else str(node["name"])
        for job_id, status, _ in rescue(store, boot, name, MAX_LOST, queue):
            if status.is_final:
                store.outbox.deliver(job_id)
            else:
                waiting.append(job_id)
    _announce(store, waiting)
    store.sweeps.sweep()
    return len(waiting)


def _announce(store: Store, job_ids: list[ObjectId]) -> None:
    if job_ids:
        queues = {str(job.get("queue")) for job in store.jobs.all_of(job_ids).values()}
        store.wakeups.jobs_rearmed(job_ids, queues, forced=True)
