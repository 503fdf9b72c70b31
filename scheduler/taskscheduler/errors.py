"""The error tree; errors about a job stand in model/job_errors.py, those that a job raises to be tried again or not in
model/raised.py.

    SchedulerError
    ├── InvalidOptionError (ValueError)      an option has a wrong name or value
    ├── InvalidDataError (ValueError)        the job's data cannot be stored
    │   ├── InvalidArgumentsError (TypeError)  they are not what the job takes
    │   └── PayloadTooLargeError             data or result above `max_payload`
    ├── InvalidFlowError (ValueError)        the jobs of a flow do not fit together
    ├── InvalidJobError (TypeError)          not a job, or a job that nobody registered
    ├── JobNotFoundError (LookupError)       no job with this id
    ├── ServiceNotFoundError (LookupError)   no service of this name was started
    ├── NodeNotFoundError (LookupError)      no node of this name or id runs
    ├── ScheduleNotFoundError (LookupError)  no schedule of this name
    ├── FlowNotFoundError (LookupError)      no flow with this id
    ├── DuplicateJobError                    the chosen id is taken
    ├── NotPermittedError (PermissionError)  the role of an actor does not allow this
    ├── InvalidStateError                    the state of the job does not allow this
    ├── JobFailure                           raised inside a job that ends itself as failed
    │   ├── Retry                            the same, and it is to be tried again
    │   └── Discard                          the same, and it is not
    ├── AlreadyRunningError                  another program or job with the solo key is at work; carries `.process`
    ├── WaitTimeoutError (TimeoutError)      the job did not end within `timeout`
    ├── NoAnswerError (TimeoutError)         the node of a running job did not answer
    ├── SignalTimeoutError (TimeoutError)    raised inside a job: the signal it waited for did not come in time
    ├── JobError                             the job did not end as DONE; carries `.process`
    │   ├── JobFailedError                   it raised, or its worker died too often
    │   ├── JobTimeoutError                  it ran longer than its `timeout`, or was silent for too long
    │   └── JobCanceledError                 it was cancelled
    ├── DatabaseError                        MongoDB refused an operation or cannot be used
    │   ├── DatabaseUnavailableError (ConnectionError)
    │   ├── AuthenticationError
    │   └── UnsupportedServerError           no replica set, or older than 5.0
    └── EmbeddedServerError                  the embedded mongod cannot run here

These are never raised; they are types stored in an `error`: `PoisonedJobError`, `InvalidDocumentError`,
`ChildJobError`, `ExpiredError`, `SilenceError`, `ProgramError`, `ProgramLostError`, and for an attempt that was cut
short `WorkerLostError`, `NodeLostError` and `NodeStoppedError`.
"""

from __future__ import annotations

from typing import Any


class SchedulerError(Exception):
    """The base of all errors that this library raises on purpose."""


class InvalidOptionError(SchedulerError, ValueError):
    """An option is unknown or its value is not acceptable; nothing was written."""


class InvalidDataError(SchedulerError, ValueError):
    """The data of a job cannot be stored as BSON; nothing was written."""


class InvalidArgumentsError(InvalidDataError, TypeError):
    """The data of a job do not fit its function or class; nothing was written."""


class PayloadTooLargeError(InvalidDataError):
    """The data or result of a job is larger than the option `max_payload`."""


class InvalidFlowError(SchedulerError, ValueError):
    """The jobs of a flow do not fit together: one comes after itself, for example; nothing was written."""


class InvalidJobError(SchedulerError, TypeError):
    """Not a job class, or a name that no imported module has registered."""


class JobNotFoundError(SchedulerError, LookupError):
    """No job with this id is stored."""

    def __init__(self, job_id: Any) -> None:
        super().__init__(f"job {job_id} was not found")
        self.job_id = job_id


class ServiceNotFoundError(SchedulerError, LookupError):
    """No service of this name was started, or it ended longer ago than jobs are kept."""

    def __init__(self, name: Any) -> None:
        super().__init__(f"Given service {name!r} does not exist; start it with start_service")
        self.name = name


class NodeNotFoundError(SchedulerError, LookupError):
    """No node of this name or id runs."""

    def __init__(self, name: Any) -> None:
        super().__init__(f"no node {name!r:.120} runs; list them with stats()")
        self.name = name


class ScheduleNotFoundError(SchedulerError, LookupError):
    """There is no schedule of this name."""

    def __init__(self, name: Any) -> None:
        super().__init__(f"there is no schedule {name!r:.120}; add it with schedules.add")
        self.name = name


class FlowNotFoundError(SchedulerError, LookupError):
    """No flow with this id is stored."""

    def __init__(self, flow_id: Any) -> None:
        super().__init__(f"flow {flow_id} was not found")
        self.flow_id = flow_id


class DuplicateJobError(SchedulerError):
    """The id chosen for a new job is already in use."""

    def __init__(self, job_id: Any) -> None:
        super().__init__(f"a job with the id {job_id} already exists; choose another id or leave the option out")
        self.job_id = job_id


class NotPermittedError(SchedulerError, PermissionError):
    """The role of the actor does not allow this action; nothing was changed, and the attempt is in the audit log."""

    def __init__(self, who: str, role: str, what: str, least: str) -> None:
        super().__init__(f"{who} is {role} and may not do this ({what}); it takes the role {least}")
        self.what = what  #: the action, such as job.cancel


class InvalidStateError(SchedulerError):
    """The state of the job does not allow this: to retry a job that has not ended, for example."""


class JobFailure(SchedulerError):  # noqa: N818 - no error: the job says this about itself
    """Ends the job that raises it as FAILED, with this message and without a traceback. See Job.fail."""


class WaitTimeoutError(SchedulerError, TimeoutError):
    """The jobs waited for did not all end in time; they go on running."""

    @classmethod
    def of(cls, left: int, timeout: float | None) -> WaitTimeoutError:
        """Returns the error for so many jobs that are left after so many seconds."""
        return cls(f"{left} {'job has' if left == 1 else 'jobs have'} not ended within {timeout:g} seconds")


class NoAnswerError(SchedulerError, TimeoutError):
    """The node that runs a job is silent, or did not answer in time."""


class SignalTimeoutError(SchedulerError, TimeoutError):
    """The signal that the job waited for did not come in time. See Job.wait_for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"signal {name!r} did not come in time")
        self.name = name  #: of the signal


class DatabaseError(SchedulerError):
    """MongoDB refused an operation."""


class DatabaseUnavailableError(DatabaseError, ConnectionError):
    """No usable MongoDB server answered in time, or it is unknown whether an operation was carried out."""


class AuthenticationError(DatabaseError):
    """MongoDB refused the user, the password or the rights of this connection."""


class UnsupportedServerError(DatabaseError):
    """The server is not a replica set or sharded cluster, or is older than 5.0."""


class EmbeddedServerError(SchedulerError):
    """The embedded MongoDB server cannot be started on this machine."""
