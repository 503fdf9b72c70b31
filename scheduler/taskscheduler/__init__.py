"""Clustered job scheduling for Python on MongoDB: what an application imports.

>>> scheduler = Scheduler("mongodb://host/app")
>>> process = scheduler.add_job(MailJob, {"to": "a@b.c"}, retry=3, retry_interval=60)
>>> process.result(timeout=60)
"""

from taskscheduler.aio import AsyncScheduler
from taskscheduler.aioprocess import AsyncProcess
from taskscheduler.aiotracking import AsyncRecord
from taskscheduler.calling import Call, call
from taskscheduler.errors import (
    AlreadyRunningError,
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
    JobCanceledError,
    JobError,
    JobFailedError,
    JobFailure,
    JobNotFoundError,
    JobTimeoutError,
    PayloadTooLargeError,
    SchedulerError,
    ServiceNotFoundError,
    UnsupportedServerError,
    WaitTimeoutError,
)
from taskscheduler.handle import Process
from taskscheduler.job import Job, job
from taskscheduler.lifecycle import Status
from taskscheduler.outcome import Outcome
from taskscheduler.scheduler import Scheduler
from taskscheduler.service import Service
from taskscheduler.tracking import Record

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
