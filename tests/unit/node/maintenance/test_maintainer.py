"""What a node looks after while there is very much of one thing to do."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId
from tests.support.eventually import eventually

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon.node.maintenance.maintainer import Caretaker
from taskscheduler_daemon.node.state.in_flight import Ledger


def test_jobs_that_are_due_without_end_do_not_keep_a_node_from_its_sweeps() -> None:
    """Lost nodes are found by these, and the turns of cancelled jobs are kept."""
    sweeps: list[None] = []

    def nothing(*_: Any, **__: Any) -> Any:
        threading.Event().wait(0.001)
        return ()

    due_jobs = SimpleNamespace(seconds_until_next=lambda: -1.0, find=nothing, promote=nothing)
    leases = SimpleNamespace(owners=lambda: set(), held_by=nothing)
    store = SimpleNamespace(
        due_jobs=due_jobs,
        leases=leases,
        solo_locks=SimpleNamespace(queue_for=nothing, admit_next=nothing, sweep=nothing),
        programs=SimpleNamespace(end_silent=nothing),
        outbox=SimpleNamespace(undelivered=nothing),
        nodes=SimpleNamespace(all=nothing),
    )
    caretaker = Caretaker(
        cast(Any, store),
        Ledger(),
        cast(Any, SimpleNamespace(lost=nothing, next_at=float("inf"))),
        ObjectId(),
        cast(Any, nothing),
        threading.Event(),
        cast(Any, nothing),
        cast(Any, nothing),
        lambda: sweeps.append(None),
        cast(Any, SimpleNamespace(look=nothing)),
        cast(Any, nothing),
        3,
        0.6,
        cast(Any, nothing),
        SYSTEM_CLOCK,
    )
    caretaker.start()
    try:
        eventually(lambda: len(sweeps) >= 3)
    finally:
        caretaker.stop()
