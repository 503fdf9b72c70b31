"""Watchers: who outside is told how the node is: Prometheus and probes, and systemd; whichever was asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from taskscheduler.clock import Clock
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.state.totals import Totals
from taskscheduler_daemon.node.vitals import Vitals

if TYPE_CHECKING:
    from taskscheduler_daemon.node.exporter import Exporter
    from taskscheduler_daemon.node.service_reporter import ServiceReporter


class Watchers:
    """Starts and stops them, so that none has a thread while the node forks a manager."""

    def __init__(self, options: NodeOptions, clock: Clock) -> None:
        """InvalidOptionError if a library is not installed that the options need."""
        self._clock = clock
        self._exporter = _exporter(options, clock)
        self._reporter: ServiceReporter | None = None

    @property
    def totals(self) -> Totals | None:
        """What counts for the whole life of the node, if somebody reads it."""
        return None if self._exporter is None else self._exporter.totals

    def open(self) -> None:
        """Finds the service manager and listens. Before the first fork: jobs must not inherit what they need.

        InvalidOptionError if the port is in use.
        """
        self._reporter = _reporter(self._clock)
        if self._exporter is not None:
            self._exporter.listen()

    def before_fork(self) -> None:
        """Ends all threads."""
        if self._reporter is not None:
            self._reporter.stop()

    def after_fork(self) -> None:
        """Begins to tell."""
        if self._reporter is not None:
            self._reporter.start()
        if self._exporter is not None:
            self._exporter.start()

    def session_begins(self, vitals: Vitals) -> None:
        """Tells about this session from now on."""
        for one in (self._exporter, self._reporter):
            if one is not None:
                one.vitals = vitals

    def session_ends(self) -> None:
        """Asks the session nothing more: the node disconnects from the database. It tells systemd that it is alive."""
        if self._reporter is not None:
            self._reporter.vitals = None
        if self._exporter is not None:
            self._exporter.stop()

    def worker_changed(self, facts: dict[str, Any]) -> None:
        """Counts a worker that was started or has ended."""
        if self._exporter is not None:
            self._exporter.totals.worker_changed(facts)

    def close(self) -> None:
        """Ends all threads, and stops to listen."""
        try:
            if self._reporter is not None:
                self._reporter.close()
        finally:
            if self._exporter is not None:
                self._exporter.close()


def _exporter(options: NodeOptions, clock: Clock) -> Exporter | None:
    """Returns what serves metrics, if somebody has asked for it: others need not load a web server."""
    if options.metrics_port is None:
        return None
    from taskscheduler_daemon.node.exporter import Exporter  # noqa: PLC0415 - as said above

    return Exporter(options, options.metrics_port, clock)


def _reporter(clock: Clock) -> ServiceReporter | None:
    """Returns what reports to systemd, if systemd has started this process."""
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    from taskscheduler_daemon.monitoring.service_manager import ServiceManager  # noqa: PLC0415 - others need neither
    from taskscheduler_daemon.node.service_reporter import ServiceReporter  # noqa: PLC0415 - as said above

    manager = ServiceManager.of_environment()
    return None if manager is None else ServiceReporter(manager, clock)
