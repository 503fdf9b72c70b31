"""Exporter: tells Prometheus and probes about a node, whether it has a session now or not."""

from __future__ import annotations

import logging
import socket

from taskscheduler.clock import Clock
from taskscheduler_daemon.monitoring.cluster_gauges import ClusterGauges
from taskscheduler_daemon.monitoring.exposition import build_info, check_installed, exposition
from taskscheduler_daemon.monitoring.http_server import Answer, ProbeServer, listening, probe
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.state.totals import Totals
from taskscheduler_daemon.node.vitals import Vitals

logger = logging.getLogger(__name__)

_TURNS_WITHIN = 5.0  #: seconds


class Exporter:
    """Listens as long as the process lives, and answers between two forks of the manager."""

    def __init__(self, options: NodeOptions, port: int, clock: Clock) -> None:
        """InvalidOptionError if the library for it is not installed."""
        check_installed("metrics_port")
        self.totals = Totals()
        self.vitals: Vitals | None = None  #: of the session, if there is one
        self._options = options
        self._port = port
        self._gauges = ClusterGauges(clock)
        self._listener: socket.socket | None = None
        self._server: ProbeServer | None = None

    def listen(self) -> None:
        """Listens; InvalidOptionError if it cannot, as the port is in use."""
        self._listener = listening(self._options.metrics_host, self._port)
        host, port = self._listener.getsockname()[:2]
        logger.info("metrics are served on http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)

    def start(self) -> None:
        """Begins to answer, in threads."""
        if self._listener is not None:
            self._server = ProbeServer(self._listener, self)
            self._server.start()

    def stop(self) -> None:
        """Ends those threads: the next manager is forked. Who asks in the meantime waits for the answer."""
        self.vitals = None
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def close(self) -> None:
        """Stops to listen."""
        self.stop()
        if self._listener is not None:
            self._listener.close()

    def metrics(self, accept: str) -> Answer:
        """Answers a scrape."""
        vitals = self.vitals
        values = [build_info(), *self.totals.values(self._options.name)]
        values += [] if vitals is None else vitals.values()
        found = exposition([*values, *self._gauges.values(None if vitals is None else vitals.store)], accept)
        return Answer(found.body, content_type=found.content_type)

    def live(self) -> Answer:
        """Says whether the main loop turns; while there is no session, it connects or waits for the database."""
        vitals = self.vitals
        is_live = vitals is None or vitals.is_turning(_TURNS_WITHIN)
        return probe([] if is_live else [f"the main loop has not turned for {_TURNS_WITHIN:g} s"])

    def ready(self) -> Answer:
        """Says whether the node runs jobs."""
        vitals = self.vitals
        return probe(["the node is not connected to its database"] if vitals is None else vitals.faults())
