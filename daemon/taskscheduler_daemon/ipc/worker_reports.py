"""Reads the reports of workers, and believes nothing: a job can write to the socket of its worker as well."""

from __future__ import annotations

import math
import struct

from taskscheduler.model.attempt_result import result_size
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Kind, Report
from taskscheduler_daemon.ipc.packets import MalformedMessageError

#: bytes of a report beside the result: error with traceback, last progress and its message
ROOM_BESIDE_RESULT = 128 * 1024

_MOST_PROGRESS = 8 * 1024  #: bytes; a message of 1000 characters takes 4000

_MOST_MEMORY = 2**50  #: bytes

_OF_WORKERS = frozenset({Ending.SUCCEEDED, Ending.FAILED, Ending.SNOOZED, Ending.RETURNED, Ending.UNSTARTED})


class ReportReader:
    """Decodes and checks the reports of workers."""

    def __init__(self, max_payload: int) -> None:
        self.most = max_payload + ROOM_BESIDE_RESULT  #: bytes of a message
        self._max_payload = max_payload

    def read(self, message: bytes, worker: bytes, now: float) -> Report:
        """Returns the report in a REPORT or PROGRESS message of this worker; `now` was read after it had arrived.

        Raises MalformedMessageError if a worker does not send such a message.
        """
        try:
            report = Report.decode(message)
        except (struct.error, LookupError, ValueError) as error:
            raise MalformedMessageError(f"it is no report: {error}") from error
        if report.worker != worker:
            raise MalformedMessageError("it names another worker")
        if report.ending not in _OF_WORKERS:
            raise MalformedMessageError(f"no worker reports the ending {report.ending.name}")
        if not 0 <= report.seconds < math.inf:
            raise MalformedMessageError(f"no job takes {report.seconds} seconds")
        if not 0 <= report.began <= now:
            raise MalformedMessageError(f"no job began at {report.began}")
        if not (0 <= report.cpu < math.inf or report.cpu == NOT_MEASURED) or report.peak_memory > _MOST_MEMORY:
            raise MalformedMessageError(f"no job takes {report.cpu} CPU seconds and {report.peak_memory} bytes")
        if report.kind == Kind.PROGRESS and len(report.body) > _MOST_PROGRESS:
            raise MalformedMessageError(f"its progress takes {len(report.body)} bytes")
        if len(report.body) > self._max_payload and (size := result_size(report.content())) > self._max_payload:
            raise MalformedMessageError(f"its result takes {size} bytes, more than max_payload ({self._max_payload})")
        return report
