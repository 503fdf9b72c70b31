"""Reads the reports of workers, and believes nothing: a job can write to the socket of its worker as well."""

from __future__ import annotations

import struct

from taskscheduler.clock import NEVER
from taskscheduler.model.attempt_result import result_size
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Kind, Report
from taskscheduler_daemon.ipc.packets import MalformedMessageError

#: bytes of a report beside the result: error with traceback, last progress and its message
ROOM_BESIDE_RESULT = 128 * 1024

_MOST_PROGRESS = 8 * 1024  #: bytes; a message of 1000 characters takes 4000

_MOST_MEMORY = 2**50  #: bytes

_PROGRESS = int(Kind.PROGRESS)  # a plain number, as a comparison with it is faster

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
        kind, ending, _, _, sender, seconds, body, began, cpu, peak = report
        if sender != worker:
            raise MalformedMessageError("it names another worker")
        if ending not in _OF_WORKERS:
            raise MalformedMessageError(f"no worker reports the ending {ending.name}")
        if not 0 <= seconds < NEVER:
            raise MalformedMessageError(f"no job takes {seconds} seconds")
        if not 0 <= began <= now:
            raise MalformedMessageError(f"no job began at {began}")
        if not (0 <= cpu < NEVER or cpu == NOT_MEASURED) or peak > _MOST_MEMORY:
            raise MalformedMessageError(f"no job takes {cpu} CPU seconds and {peak} bytes")
        if kind == _PROGRESS and len(body) > _MOST_PROGRESS:
            raise MalformedMessageError(f"its progress takes {len(body)} bytes")
        if len(body) > self._max_payload and (size := result_size(report.content())) > self._max_payload:
            raise MalformedMessageError(f"its result takes {size} bytes, more than max_payload ({self._max_payload})")
        return report
