"""Clustered job scheduling for Python on MongoDB: what an application imports.

>>> scheduler = Scheduler("mongodb://host/app")
>>> process = scheduler.add_job(MailJob, {"to": "a@b.c"}, retry=3, retry_interval=60)
>>> process.result(timeout=60)
"""

from taskscheduler.aio.flows import AsyncRunningFlow
from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.record import AsyncRecord
from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.aio.selections import AsyncSelection
from taskscheduler.calls import Call, call
from taskscheduler.declarations.flows import Flow, FlowJob, chain, group, previous
from taskscheduler.errors import (
    AuthenticationError,
    DatabaseError,
    DatabaseUnavailableError,
    DuplicateJobError,
    EmbeddedServerError,
    FlowNotFoundError,
    InvalidArgumentsError,
    InvalidDataError,
    InvalidFlowError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobFailure,
    JobNotFoundError,
    NoAnswerError,
    NodeNotFoundError,
    NotPermittedError,
    PayloadTooLargeError,
    ScheduleNotFoundError,
    SchedulerError,
    ServiceNotFoundError,
    SignalTimeoutError,
    UnsupportedServerError,
    WaitTimeoutError,
)
from taskscheduler.facade.selections import Selection
from taskscheduler.flow_state import RunningFlow
from taskscheduler.jobs.default import default_scheduler, set_default_scheduler
from taskscheduler.jobs.function_calls import AsyncJobFunction, FunctionCalls, JobFunction
from taskscheduler.jobs.functions import CURRENT_JOB, job
from taskscheduler.jobs.job import Job
from taskscheduler.jobs.schedules import schedule
from taskscheduler.jobs.service import Service
from taskscheduler.model.attempt_result import Outcome
from taskscheduler.model.attempts.stack import Stack, StackFrame, StackThread
from taskscheduler.model.audit.entries import AuditEntry
from taskscheduler.model.control.groups import Group
from taskscheduler.model.control.limits import Limit
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.control.reasons import Code, Reason
from taskscheduler.model.job_errors import (
    AlreadyRunningError,
    JobCanceledError,
    JobError,
    JobFailedError,
    JobTimeoutError,
)
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler.model.metrics.points import MetricPoint, MetricRow
from taskscheduler.model.raised import Discard, Retry
from taskscheduler.model.resumable.signals import Signal
from taskscheduler.operations.control.groups import GroupUse
from taskscheduler.operations.control.limits import Holder, LimitUse
from taskscheduler.operations.control.sequences import BlockedSequence
from taskscheduler.operations.programs import Record
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler

__all__ = [
    "CURRENT_JOB",
    "AlreadyRunningError",
    "AsyncJobFunction",
    "AsyncProcess",
    "AsyncRecord",
    "AsyncRunningFlow",
    "AsyncScheduler",
    "AsyncSelection",
    "AuditEntry",
    "AuthenticationError",
    "BlockedSequence",
    "Call",
    "Code",
    "DatabaseError",
    "DatabaseUnavailableError",
    "Discard",
    "DuplicateJobError",
    "EmbeddedServerError",
    "Flow",
    "FlowJob",
    "FlowNotFoundError",
    "FunctionCalls",
    "Group",
    "GroupUse",
    "Histogram",
    "Holder",
    "InvalidArgumentsError",
    "InvalidDataError",
    "InvalidFlowError",
    "InvalidJobError",
    "InvalidOptionError",
    "InvalidStateError",
    "Job",
    "JobCanceledError",
    "JobError",
    "JobFailedError",
    "JobFailure",
    "JobFunction",
    "JobNotFoundError",
    "JobTimeoutError",
    "Limit",
    "LimitUse",
    "MetricPoint",
    "MetricRow",
    "NoAnswerError",
    "NodeNotFoundError",
    "NotPermittedError",
    "Outcome",
    "Pause",
    "PayloadTooLargeError",
    "Process",
    "Reason",
    "Record",
    "Retry",
    "RunningFlow",
    "ScheduleNotFoundError",
    "Scheduler",
    "SchedulerError",
    "Selection",
    "SelectionResult",
    "Service",
    "ServiceNotFoundError",
    "Signal",
    "SignalTimeoutError",
    "Stack",
    "StackFrame",
    "StackThread",
    "Status",
    "UnsupportedServerError",
    "WaitTimeoutError",
    "call",
    "chain",
    "default_scheduler",
    "group",
    "job",
    "previous",
    "schedule",
    "set_default_scheduler",
]
