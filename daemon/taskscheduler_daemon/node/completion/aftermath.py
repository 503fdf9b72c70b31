"""Aftermath: carries out what follows from the ends of attempts once these are written."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bson.errors import BSONError

from taskscheduler.operations.finish import follow_up
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.flows.flow_node import FlowNode
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.meter import Meter

logger = logging.getLogger(__name__)

UNSTORABLE = (BSONError, OverflowError)  #: raised by the driver for what it cannot encode


class Aftermath:
    """What this node does after an end: it wakes others, delivers effects, and takes the next jobs of a flow."""

    def __init__(
        self,
        store: Store,
        node: str,
        hooks: HookCalls,
        flow_node: FlowNode,
        in_flight: InFlight,
        meter: Meter,
    ) -> None:
        self.meter = meter
        self._store = store
        self._node = node
        self._hooks = hooks
        self._flow_node = flow_node
        self._in_flight = in_flight

    @property
    def running(self) -> int:
        """The number of attempts in flight, or on their way there, whose ends are still to come."""
        return len(self._in_flight) + self._in_flight.coming.count

    def follow(self, landed: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> None:
        """Carries out what follows from these ends, which are written. Raises StoreError, and UNSTORABLE ones."""
        self.meter.landed(landed)
        try:
            follow_up(self._store, landed, self._node, self._hooks, self._flow_node, quick)
        except (StoreError, *UNSTORABLE):
            raise
        except Exception:  # the ends are written; what follows stays due until the next sweep
            logger.exception("what follows the ends of jobs not done yet")
        self.meter.landed_quickly(quick)  # afterwards: after an error they are written again as any others, and counted
