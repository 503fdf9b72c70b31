"""What a node does about pauses: it leaves out paused queues, and parks waiting jobs of paused classes and tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import first_list, is_controlled, keys_of
from taskscheduler.model.control.pauses import ALL, JOB, QUEUE, TAG
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Transition, sources
from taskscheduler.model.readable import Fault
from taskscheduler.model.sound import sound
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.claims import ALL_JOBS, Scope
from taskscheduler.store.driver_errors import StoreError, brief, is_refused_write


def scope_under(controls: Controls, queues: Sequence[str] | None = None, unknown: Sequence[str] = ()) -> Scope:
    """Returns which waiting jobs may be claimed under what holds now, of these queues, or of all."""
    if not controls.pauses:
        return Scope(queues, unknown=unknown) if queues is not None or unknown else ALL_JOBS
    return Scope(queues, controls.paused(QUEUE), unknown, controls.paused(JOB), controls.paused(TAG))


def is_all_paused(controls: Controls) -> bool:
    """Whether nothing may start at all."""
    return any(pause.kind == ALL for pause in controls.pauses)


def but_paused(store: Store, controls: Controls, jobs: list[Document]) -> list[Document]:
    """Returns those of these waiting jobs that may start, as far as their class and tags tell; parks the others."""
    paused: dict[str, list[Any]] = {}
    free = []
    for job in jobs:
        if (key := _blocked_by(controls, job)) is None:
            free.append(job)
        else:
            paused.setdefault(key, []).append(job["_id"])
    for key, ids in paused.items():
        park(store, ids, key)
    return free


def _blocked_by(controls: Controls, job: Mapping[str, Any]) -> str | None:
    name, tags = job.get("class"), sound(job, "tags", ())
    held = (pause.key for pause in controls.pauses if pause.kind in (JOB, TAG) and pause.holds(None, name, tags))
    return next(held, None)


def park(store: Store, ids: Sequence[Any], key: str) -> int:
    """Parks those of these jobs that wait; returns how many. The places that they held go to others."""
    held = store.blocked_jobs.with_places(ids)
    parked = _each_written(store, lambda part: store.blocked_jobs.park(part, key), ids, Transition.PARK)
    store.admission.admit_next({key for job in held for key in keys_of(job)})
    return parked


def _each_written(store: Store, write: Callable[[Sequence[Any]], int], ids: Sequence[Any], move: Transition) -> int:
    """Changes these jobs and returns how many; one that the database refuses to change fails instead."""
    try:
        return write(ids)
    except StoreError as error:
        if not is_refused_write(error):
            raise
        if len(ids) == 1:
            fault = Fault("document", f"cannot be parked: {brief(error)}")
            return set_aside(store, ids[0], fault, {"status": int(next(iter(sources(move))))})
    half = len(ids) // 2
    return sum(_each_written(store, write, part, move) for part in (ids[:half], ids[half:]))


def unpark(store: Store, key: str) -> Iterator[int]:
    """Makes the jobs wait again that are parked under a key, those that would run first before the others.

    Yields after each batch how many these were, so that the caller may stop in between. Ends early if somebody pauses
    them anew.
    """
    while key not in _holding(store) and (jobs := store.blocked_jobs.first(key)):
        ids = [job["_id"] for job in jobs]
        controlled = [job for job in jobs if is_controlled(job)]
        moved = store.blocked_jobs.leave_to_controls([job["_id"] for job in controlled], key) if controlled else 0
        store.admission.admit_next({first_list(job) for job in controlled})
        count = moved + _each_written(store, lambda part: store.blocked_jobs.unpark(part, key), ids, Transition.UNPARK)
        queues = {queue for job in jobs if (queue := sound(job, "queue")) is not None}
        forced = any("async" in job or sound(job, "options", {}).get("force_spawn") is True for job in jobs)
        store.wakeups.jobs_rearmed([job["_id"] for job in jobs], queues, forced)
        if not count:
            return  # somebody else is doing it
        yield count


def _holding(store: Store) -> set[str]:
    """Returns the keys of the pauses that hold. What a node knows from before does not count.

    A pause is stored before it parks a job, so one that is not found after the job was has ended.
    """
    return {pause.key for pause in store.controls.load().at(store.clock.now()).pauses}


def unpark_resumed(store: Store) -> Iterator[int]:
    """Makes the jobs wait again whose pause holds no more: a resume has died half way, or its time is over.

    Yields after each batch.
    """
    keys = store.blocked_jobs.paused_keys()
    holding = _holding(store) if keys else set()
    for key in keys:
        if key not in holding:
            yield from unpark(store, key)


def end_over(store: Store, controls: Controls) -> None:
    """Removes the pauses whose time is over."""
    now = store.clock.now()
    for pause in controls.pauses:
        if pause.is_over(now):
            store.controls.delete_over(pause.key, now)
