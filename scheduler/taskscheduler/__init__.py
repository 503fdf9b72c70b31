"""Clustered job scheduling for Python on MongoDB: what an application imports.

>>> scheduler = Scheduler("mongodb://host/app")
>>> process = scheduler.add_job(MailJob, {"to": "a@b.c"}, retry=3, retry_interval=60)
>>> process.result(timeout=60)
"""

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.record import AsyncRecord
from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.calls import Call, call
from taskscheduler.errors import (
    AuthenticationError,
    DatabaseError,
    DatabaseUnavailableError,
    DuplicateJobError,
    EmbeddedServerError,
    InvalidArgumentsError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobFailure,
    JobNotFoundError,
    PayloadTooLargeError,
    SchedulerError,
    ServiceNotFoundError,
    UnsupportedServerError,
    WaitTimeoutError,
)
from taskscheduler.jobs.functions import job
from taskscheduler.jobs.job import Job
from taskscheduler.jobs.service import Service
from taskscheduler.model.attempt_result import Outcome
from taskscheduler.model.job_errors import (
    AlreadyRunningError,
    JobCanceledError,
    JobError,
    JobFailedError,
    JobTimeoutError,
)
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.programs import Record
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler

__all__ = [
    "AlreadyRunningError",
    "AsyncProcess",
    "AsyncRecord",
    "AsyncScheduler",
    "AuthenticationError",
    "Call",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DuplicateJobError",
    "EmbeddedServerError",
    "InvalidArgumentsError",
    "InvalidDataError",
    "InvalidJobError",
    "InvalidOptionError",
    "InvalidStateError",
    "Job",
    "JobCanceledError",
    "JobError",
    "JobFailedError",
    "JobFailure",
    "JobNotFoundError",
    "JobTimeoutError",
    "Outcome",
    "PayloadTooLargeError",
    "Process",
    "Record",
    "Scheduler",
    "SchedulerError",
    "Service",
    "ServiceNotFoundError",
    "Status",
    "UnsupportedServerError",
    "WaitTimeoutError",
    "call",
    "job",
]
