"""Operations: all groups of methods in one class, blocking."""

from __future__ import annotations

from taskscheduler.facade.audit import Audit
from taskscheduler.facade.control import ControlMethods
from taskscheduler.facade.core import Core, Foundation
from taskscheduler.facade.flows import Flows
from taskscheduler.facade.groups import Groups
from taskscheduler.facade.inspection import Inspection
from taskscheduler.facade.jobs import JobMethods
from taskscheduler.facade.limits import Limits, Sequences
from taskscheduler.facade.logs import Logs
from taskscheduler.facade.maintenance import MaintenanceMethods
from taskscheduler.facade.metrics import Metrics
from taskscheduler.facade.nodes import Nodes
from taskscheduler.facade.schedules import Schedules
from taskscheduler.facade.services import ServiceMethods
from taskscheduler.facade.waiting import WaitingMethods


class Operations(JobMethods, ControlMethods, MaintenanceMethods, ServiceMethods, WaitingMethods):
    """The blocking methods that a Scheduler has, and that an AsyncScheduler runs in threads."""

    def __init__(self, foundation: Foundation) -> None:
        super().__init__(Core(foundation, self))
        self.schedules = Schedules(self._core)
        self.limits = Limits(self._core)
        self.sequences = Sequences(self._core)
        self.groups = Groups(self._core)
        self.flows = Flows(self._core)
        self.inspect = Inspection(self._core)
        self.metrics = Metrics(self._core)
        self.audit = Audit(self._core)
        self.logs = Logs(self._core)
        self.nodes = Nodes(self._core)
