"""Operations: all groups of methods in one class, blocking."""

from __future__ import annotations

from taskscheduler.facade.core import Core, Foundation
from taskscheduler.facade.jobs import JobMethods
from taskscheduler.facade.maintenance import MaintenanceMethods
from taskscheduler.facade.services import ServiceMethods
from taskscheduler.facade.waiting import WaitingMethods


class Operations(JobMethods, MaintenanceMethods, ServiceMethods, WaitingMethods):
    """The blocking methods that a Scheduler has, and that an AsyncScheduler runs in threads."""

    def __init__(self, foundation: Foundation) -> None:
        super().__init__(Core(foundation, self))

    @property
    def core(self) -> Core:
        """The parts below these methods; for the asyncio twin, not for applications."""
        return self._core
