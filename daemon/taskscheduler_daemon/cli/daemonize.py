"""Keeps the pidfile of `taskscheduler node`, runs it in the background and reports to the caller when it is ready."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from taskscheduler_daemon.cli.exit_codes import ExitCode, failure
from taskscheduler_daemon.logs import NODE_READY
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.system.pidfile import Pidfile
from taskscheduler_daemon.system.spawn import ForkError, daemonize

logger = logging.getLogger(__name__)

_READY, _FAILED = "ready ", "failed "

_READY_WITHIN = 60.0  #: seconds

_LONGEST_REPORT = 4000  #: bytes; the caller reads no more than 4096


class ReadinessHandler(logging.Handler):
    """Reports through a descriptor that the node is ready, as soon as it logs so, or why it failed before."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor: int | None = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Reports the process id when the record says that the node is ready."""
        if record.msg == NODE_READY:
            self._report(f"{_READY}{os.getpid()}")

    def report_failure(self, code: ExitCode, reason: str) -> None:
        """Reports the exit code and the reason, unless the node has been ready."""
        self._report(f"{_FAILED}{code:d} {reason}")

    def _report(self, text: str) -> None:
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, text.encode(errors="replace")[:_LONGEST_REPORT])
                os.close(self._descriptor)
            except OSError:
                pass  # nobody waits for it any more
            self._descriptor = None


def with_pidfile(path: str, serve: Callable[[], int]) -> int:
    """Serves in the foreground, with this process in a pidfile; returns the exit code."""
    pidfile = Pidfile(path)
    pidfile.acquire()
    try:
        pidfile.write()
        return serve()
    finally:
        pidfile.release()


def in_background(path: str, log_file: str, serve: Callable[[], int]) -> int:
    """Serves in a daemon; returns when the node is ready or has failed, with the code of a foreground node."""
    pidfile = Pidfile(path)
    pidfile.acquire()
    try:
        report = daemonize(
            lambda descriptor: _daemon(pidfile, serve, ReadinessHandler(descriptor)), Path(log_file), _READY_WITHIN
        )
    except (OSError, ForkError):
        pidfile.release()  # no daemon has been started
        raise
    finally:
        pidfile.leave()
    if report.startswith(_READY):
        say(f"node started, process {report.removeprefix(_READY)}")
        return ExitCode.OK
    code, reason = parse_failure(report)
    remark(f"taskscheduler: the node is not ready: {reason or f'see {log_file}'}")
    return code


def parse_failure(report: str) -> tuple[int, str]:
    """Returns the exit code and the line that a foreground node would have ended with; no line without a report."""
    code, _, reason = report.removeprefix(_FAILED).partition(" ")
    return (int(code), reason) if reason else (ExitCode.FAILED, "")


def _daemon(pidfile: Pidfile, serve: Callable[[], int], readiness: ReadinessHandler) -> int:
    try:
        pidfile.write()
        logging.getLogger("taskscheduler_daemon").addHandler(readiness)
        return serve()
    except Exception as error:
        code, reason = failure(error)
        logger.debug("the node ended with an error", exc_info=True)
        remark(f"taskscheduler: {reason}")
        readiness.report_failure(code, reason)
        return code
    finally:
        pidfile.release()
