"""Gives jobs signals, and says which one was first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.payload import payload
from taskscheduler.model.resumable.signals import MOST_SIGNALS, Signal, entries_in, entry_of, name_of
from taskscheduler.model.sound import sound, status_of
from taskscheduler.store import Store


def send_signal(store: Store, job_id: Any, name: str, value: Any) -> Signal:
    """Stores a signal unless the job has one of this name already, and wakes nodes if it waits for it.

    JobNotFoundError if the job is not stored; InvalidStateError if it cannot be told any more. InvalidOptionError,
    InvalidDataError.
    """
    name = name_of("signal", name)
    value = payload(f"the value of signal {name!r}", "value", value, store.options.max_payload)
    if not isinstance(job_id, ObjectId):
        raise InvalidStateError(f"job {id_text(job_id)} cannot run: its id is no ObjectId, so it waits for nothing")
    job, own = store.signals.add(job_id, name, value)
    if job is None:
        raise JobNotFoundError(job_id)
    entry = entry_of(job.get("signals"), name)
    if entry is None:
        raise InvalidStateError(_refusal(job_id, job))
    won = entry.get("id") == own
    if won and job["status"] == Status.POSTPONED:
        forced = sound(job, "options", {}).get("force_spawn") is True
        store.wakeups.jobs_rearmed([job_id], (), forced=forced)
    return Signal.of(entry, won)


def _refusal(job_id: ObjectId, job: Mapping[str, Any]) -> str:
    if "service" in job:
        return f"job {job_id} is a service, which waits for no signal; send it a value with send(...)"
    if "program" in job:
        return f"job {job_id} is the record of a program, which waits for no signal"
    if status_of(job).is_final:
        return f"job {job_id} is {status_of(job).label}; only a job that has not ended can get a signal"
    if len(entries_in(job.get("signals"))) >= MOST_SIGNALS:
        return f"job {job_id} has {MOST_SIGNALS} signals, and can get no more"
    return f"job {job_id} cannot get a signal: its status cannot be read"
