"""Rescan: searches for jobs that no wake-up message has announced."""

from __future__ import annotations

from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease


class Rescan(Duty):
    """Has the claimer search all queues: a wake-up message may be lost."""

    def __init__(self, claimer: Claimer, lease: Lease) -> None:
        super().__init__(lease)
        self._claimer = claimer

    def run(self) -> None:
        """Wakes the claimer."""
        self._claimer.look_everywhere()
