"""Sets, lists and takes away limits. A change holds for jobs that only wait for a slot, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import LIMIT, RATE, is_place_of, key, places_in
from taskscheduler.model.control.limits import Limit, spans_of, stored_limit
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import is_text, sound, status_of
from taskscheduler.operations.audit.acting import acting_name
from taskscheduler.store import Store

MOST_HOLDERS = 1000  #: that are listed


@dataclass(frozen=True, slots=True)
class Holder:
    """A job that holds a place of a limit."""

    job: ObjectId  #: its id
    name: str  #: the name of the limit that the job is under, if the limit stands for many
    job_class: str
    status: Status  #: PROCESSING; WAITING if it has its place and waits for a slot
    since: datetime | None  #: when its attempt began
    node: str | None


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A limit, and who is at work under it."""

    limit: Limit
    holders: tuple[Holder, ...]  #: those that have held a place for longest first
    waiting: int  #: how many due jobs wait for a place or the rate; 1000 at most are counted

    @property
    def name(self) -> str:
        """The name of the limit."""
        return self.limit.name

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return len(self.holders)


def set_limit(store: Store, limit: Limit) -> Limit:
    """Stores a limit in place of the one of its name, and has its waiting jobs ask for a place again."""
    now = store.clock.now()
    made = replace(limit, by=acting_name(), at=now.replace(microsecond=now.microsecond // 1000 * 1000))
    if made.rate is not None:
        store.rates.ensure()
    store.controls.put(made.key, {**stored_limit(made), "by": made.by, "at": made.at})
    _apply(store, made.name)
    return made


def delete_limit(store: Store, name: str) -> bool:
    """Takes a limit away and lets its jobs in; returns whether there was one."""
    before = store.controls.delete(key(LIMIT, name))
    _apply(store, name)
    return before is not None


def _apply(store: Store, name: str) -> None:
    store.sweeps.recall(name)
    for kind in (LIMIT, RATE):
        bare = key(kind, name.removesuffix("*"))
        store.admission.admit_next([bare])
        if name.endswith("*"):
            store.sweeps.admit_lists(bare)


def limits(store: Store) -> list[LimitUse]:
    """Returns the limits by their names, with who is at work under them.

    A limit of many names leaves out those that have a limit of their own, or one of a longer name.
    """
    controls = store.controls.load()
    return _uses(store, controls.limits, controls)


def limit_use(store: Store, name: str) -> LimitUse | None:
    """Returns the limit of this name, with who is at work under it; None if there is none."""
    controls = store.controls.load()
    return next(iter(_uses(store, [limit for limit in controls.limits if limit.name == name], controls)), None)


def _uses(store: Store, limits: Sequence[Limit], controls: Controls) -> list[LimitUse]:
    """Returns who is at work under these limits; asks about all of them at once."""
    names = [spans_of(limit, controls.limits) for limit in limits]
    held, waiting = store.places.held_under(names, MOST_HOLDERS), store.places.waiting_under(names)
    return [
        LimitUse(limit, _holders(jobs, limit, controls), count)
        for limit, jobs, count in zip(limits, held, waiting, strict=True)
    ]


def _holders(jobs: Sequence[Mapping[str, Any]], limit: Limit, controls: Controls) -> tuple[Holder, ...]:
    holders = [_holder(job, limit, controls) for job in jobs]
    return tuple(sorted(holders, key=lambda one: (one.since is None, str(one.since), str(one.job))))


def _holder(job: Mapping[str, Any], limit: Limit, controls: Controls) -> Holder:
    names = [name for name in sound(job, "limits", ()) if is_text(name) and controls.limit_of(name) == limit]
    held = [name for name in names if any(is_place_of(key(LIMIT, name), one) for one in places_in(job))]
    return Holder(
        job["_id"],
        next(iter(held), limit.name),
        sound(job, "class", ""),
        status_of(job),
        sound(job, "started"),
        sound(job, "node"),
    )
