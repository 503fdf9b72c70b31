"""Looks after flows whose jobs somebody has ended and who died before he did what follows."""

from __future__ import annotations

from collections.abc import Iterable

from bson import ObjectId

from taskscheduler.store import Store
from taskscheduler.store.flows.effects import Ended


def sweep_flows(store: Store) -> None:
    """Looks at some flows once."""
    if store.flows.in_use:
        _deliver(store, store.flow_effects.sweep())


def sweep_all_flows(store: Store) -> None:
    """Looks at all flows once."""
    if store.flows.in_use:
        _deliver(store, store.flow_effects.sweep_all())


def settle_joins(store: Store, joins: Iterable[ObjectId]) -> None:
    """Lets the jobs go on that wait for these joins, or cancels them, if it is time."""
    _deliver(store, store.flow_effects.settle(joins))


def _deliver(store: Store, ended: list[Ended]) -> None:
    for job_id, _ in ended:
        store.outbox.deliver(job_id)
