"""Effects that a crashed process left are delivered, until the node stops."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, OperationFailure
from tests.unit.node.fakes import FakeClock, FakeStore, lease

from taskscheduler_daemon.node.maintenance.outbox_relay import OutboxRelay


class FakeHooks:
    """Notes the hooks that are called."""

    def __init__(self) -> None:
        self.called: list[ObjectId] = []
        self.unknown: set[str] = set()

    def flush(self) -> None: ...

    def call(self, job_id: ObjectId) -> None:
        self.called.append(job_id)


def test_pending_effects_are_delivered_and_hooks_called_where_there_may_be_one() -> None:
    store, hooks = FakeStore(), FakeHooks()
    unknown, with_hook, without = ObjectId(), ObjectId(), ObjectId()
    store.outbox.pending = [{"_id": unknown}, {"_id": with_hook, "hook": True}, {"_id": without, "hook": False}]
    OutboxRelay(store.store, cast(Any, hooks), lease(), FakeClock()).run()
    assert store.outbox.delivered == [unknown, with_hook, without]
    assert hooks.called == [unknown, with_hook]


def test_a_node_that_stops_leaves_the_rest_to_others() -> None:
    store, hooks = FakeStore(), FakeHooks()
    relay = OutboxRelay(store.store, cast(Any, hooks), lease(), FakeClock())
    first, second = ObjectId(), ObjectId()
    store.outbox.pending = [{"_id": first}, {"_id": second}]
    deliver = store.outbox.deliver

    def stopped_meanwhile(job_id: ObjectId) -> None:
        deliver(job_id)
        relay.stop()

    store.outbox.deliver = stopped_meanwhile  # type: ignore[method-assign]
    relay.run()
    assert (store.outbox.delivered, hooks.called) == ([first], [first])


def test_a_job_whose_effects_cannot_be_delivered_holds_up_no_other_and_is_left_out_for_ever_longer() -> None:
    store, hooks, clock = FakeStore(), FakeHooks(), FakeClock()
    relay = OutboxRelay(store.store, cast(Any, hooks), lease(clock), clock)
    odd, good = ObjectId(), ObjectId()
    store.outbox.pending, tried = [{"_id": odd}, {"_id": good, "hook": False}], list[float]()
    deliver = store.outbox.deliver

    def odd_fails(job_id: ObjectId) -> None:
        if job_id == odd:
            tried.append(clock.seconds)
            raise KeyError("next")
        deliver(job_id)

    store.outbox.deliver = odd_fails  # type: ignore[method-assign]
    began = clock.seconds
    for _ in range(800):
        relay.run()
        clock.seconds += 5
    assert store.outbox.delivered == [good] * 800
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert tried[0] == began
    assert pauses == sorted(pauses)
    assert 500 <= pauses[-1] <= 700
    assert len(tried) < 20


@pytest.mark.parametrize("error", [AutoReconnect("away"), OperationFailure("bad hint", 2)])
def test_a_fault_of_the_server_ends_the_run(error: Exception) -> None:
    store, clock = FakeStore(), FakeClock()
    relay = OutboxRelay(store.store, cast(Any, FakeHooks()), lease(clock), clock)
    store.outbox.pending = [{"_id": ObjectId()}]

    def fails(job_id: ObjectId) -> None:
        raise error

    store.outbox.deliver = fails  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        relay.run()
