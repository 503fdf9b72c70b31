"""Clustered job scheduling for Python on MongoDB: what an application imports.

>>> scheduler = Scheduler("mongodb://host/app")
>>> process = scheduler.add_job(MailJob, {"to": "a@b.c"}, retry=3, retry_interval=60)
>>> process.result(timeout=60)
"""

from taskscheduler.aio import AsyncScheduler
from taskscheduler.aioprocess import AsyncProcess
from taskscheduler.errors import (
    AuthenticationError,
    DatabaseError,
    DatabaseUnavailableError,
    DuplicateJobError,
    EmbeddedServerError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobCanceledError,
    JobError,
    JobFailedError,
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
from taskscheduler.scheduler import Scheduler
from taskscheduler.service import Service

__all__ = [
    "AsyncProcess",
    "AsyncScheduler",
    "AuthenticationError",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DuplicateJobError",
    "EmbeddedServerError",
    "InvalidDataError",
    "InvalidJobError",
    "InvalidOptionError",
    "InvalidStateError",
    "Job",
    "JobCanceledError",
    "JobError",
    "JobFailedError",
    "JobNotFoundError",
    "JobTimeoutError",
    "PayloadTooLargeError",
    "Process",
    "Scheduler",
    "SchedulerError",
    "Service",
    "ServiceNotFoundError",
    "Status",
    "UnsupportedServerError",
    "WaitTimeoutError",
    "job",
]
