"""The methods of a scheduler that start, stop and talk to services."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from taskscheduler.clock import Deadline
from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.process_state import ProcessState
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated


class ServiceMethods(Methods):
    """Starts, stops and restarts services, and exchanges messages with them."""

    @action("service.start", target="name", facts=("job",))
    def start_service(self, /, job: Any, data: Any = None, *, name: str | None = None, **given: Any) -> Process:
        """Makes a service run, and keeps it running: one process in the whole cluster, on any node.

        `name` (default: that of the job) is unique. Options: `restart` ("always", "on-failure", "never"),
        `restart_interval` (1 s, doubled at each quick failure up to `restart_interval_max`, 60 s), `stop_soft` (5 s),
        `stop_hard` (10 s), and of the job queue, priority, timeout, silence_timeout, tags. A service that runs as it
        is defined here is left alone, one that differs is stopped first; `process.outcome` says created, existing or
        replaced, and `process.attempt` how often it was started. Raises as add_job does.
        """
        if "session" in given:
            raise InvalidOptionError(
                "option session is not for start_service: it may have to wait until an older process of the service is "
                "gone, and a transaction cannot; start the service when the transaction has committed"
            )
        with translated():
            document, outcome = self._core.services.start(job, data, {**given, "name": name})
            return self._core.announcer.announce_added(self._core.processes.process(document, outcome))

    @action("service.stop", target="name")
    def stop_service(self, name: str, wait: bool = True) -> Process:
        """Stops a service and does not start it again; with `wait`, returns when its process is gone.

        It is asked to stop, interrupted after `stop_soft` seconds and killed after `stop_hard`; it ends CANCELED.
        ServiceNotFoundError if there is none of this name; one that has ended is left as it is.
        """
        with translated():
            return self._core.processes.process(self._core.services.stop(name, wait))

    @action("service.restart", target="name")
    def restart_service(self, name: str) -> Process:
        """Stops a service, if it runs, and starts it again at once when its process is gone. ServiceNotFoundError."""
        with translated():
            process = self._core.processes.process(self._core.services.restart(name))
            return self._core.announcer.announce_added(process)

    def service(self, name: str) -> Process:
        """Returns the service of this name, in any state; ServiceNotFoundError if there is none."""
        with translated():
            return self._core.processes.process(self._core.services.get(name))

    def services(self) -> list[Process]:
        """Returns all services by their names, also those that have ended, as long as jobs are kept."""
        with translated():
            return [self._core.processes.process(document) for document in self._core.services.all()]

    @action("service.send", facts=("service",))
    def send(self, service: str | ProcessState, value: Any) -> None:
        """Sends a value, anything that BSON can hold, to a service: it gets it from `receive`, once and in order.

        It waits for a service that does not run, for a day. ServiceNotFoundError, InvalidDataError,
        PayloadTooLargeError.
        """
        self._core.service_messages.send_to(self._service_id(service), value)

    def receive(self, service: str | ProcessState, timeout: Seconds | None = None, default: Any = None) -> Any:
        """Returns the oldest value that a service has sent, or waits for one up to `timeout` seconds; else `default`.

        Each value is received once, by whoever asks first. ServiceNotFoundError.
        """
        deadline = Deadline(waiting_time(timeout), self._core.clock)
        return self._core.service_messages.receive_from(self._service_id(service), deadline, default)

    def _service_id(self, service: str | ProcessState) -> ObjectId:
        return service.id if isinstance(service, ProcessState) else self.service(service).id
