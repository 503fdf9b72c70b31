"""Effects that a crashed process left are delivered, until the node stops."""

from __future__ import annotations

from typing import Any, cast

from bson import ObjectId
from tests.unit.node.fakes import FakeStore, lease

from taskscheduler_daemon.node.maintenance.outbox_relay import OutboxRelay


class FakeHooks:
    """Notes the hooks that are called."""

    def __init__(self) -> None:
        self.called: list[ObjectId] = []

    def call(self, job_id: ObjectId) -> None:
        self.called.append(job_id)


def test_pending_effects_are_delivered_and_hooks_called_where_there_may_be_one() -> None:
    store, hooks = FakeStore(), FakeHooks()
    unknown, with_hook, without = ObjectId(), ObjectId(), ObjectId()
    store.outbox.pending = [{"_id": unknown}, {"_id": with_hook, "hook": True}, {"_id": without, "hook": False}]
    OutboxRelay(store.store, cast(Any, hooks), lease()).run()
    assert store.outbox.delivered == [unknown, with_hook, without]
    assert hooks.called == [unknown, with_hook]


def test_a_node_that_stops_leaves_the_rest_to_others() -> None:
    store, hooks = FakeStore(), FakeHooks()
    relay = OutboxRelay(store.store, cast(Any, hooks), lease())
    first, second = ObjectId(), ObjectId()
    store.outbox.pending = [{"_id": first}, {"_id": second}]
    deliver = store.outbox.deliver

    def stopped_meanwhile(job_id: ObjectId) -> None:
        deliver(job_id)
        relay.stop()

    store.outbox.deliver = stopped_meanwhile  # type: ignore[method-assign]
    relay.run()
    assert (store.outbox.delivered, hooks.called) == ([first], [first])
