"""Drain: how far a node has come that takes no new jobs and ends when those that it has are done."""

from __future__ import annotations

import logging

from taskscheduler_daemon.node.state.in_flight import InFlight

logger = logging.getLogger(__name__)


class Drain:
    """Whether somebody has asked the node to drain, and whether it has. Set by threads, read by the main loop."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.is_asked = False
        self.claims_none = False  #: whether no claim is under way any more

    def ask(self) -> bool:
        """Notes that somebody has asked for it; returns whether that is new."""
        if self.is_asked:
            return False
        self.is_asked = True
        return True

    def claims_no_more(self) -> None:
        """Notes that the last claim is over."""
        logger.info("node drains: it takes no new jobs, and ends after its last one", extra={"node": self._node})
        self.claims_none = True

    def is_done(self, in_flight: InFlight) -> bool:
        """Whether nothing runs but services, which have no end of their own: these go on elsewhere."""
        return self.claims_none and all("service" in attempt.job for attempt in in_flight.all())
