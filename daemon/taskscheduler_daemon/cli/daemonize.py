"""Decides how `taskscheduler node` keeps its pidfile and goes on in the background, and what its caller is told."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from taskscheduler_daemon.cli.exit_codes import ExitCode, failure
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.system.pidfile import Pidfile
from taskscheduler_daemon.system.spawn import daemonize

logger = logging.getLogger(__name__)

_READY, _FAILED = "ready ", "failed "

_READY_WITHIN = 60.0  #: seconds

_SAID_WHEN_READY = "node ready"


class Readiness(logging.Handler):
    """Tells through a descriptor that the node is ready, or why it has ended before it was."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor: int | None = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == _SAID_WHEN_READY:
            self.tell(f"{_READY}{os.getpid()}")

    def tell(self, text: str) -> None:
        """Say it, once."""
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, text.encode(errors="replace")[:4000])
                os.close(self._descriptor)
            except OSError:
                pass  # nobody waits for it any more
            self._descriptor = None


def with_pidfile(path: str, serve: Callable[[], int]) -> int:
    """Serve in the foreground, named in a pidfile."""
    pidfile = Pidfile(path)
    pidfile.acquire()
    try:
        pidfile.write()
        return serve()
    finally:
        pidfile.release()


def in_background(path: str, log_file: str, serve: Callable[[], int]) -> int:
    """Serve as a daemon and return when it is ready, or will never be, with the exit code of one in the foreground."""
    pidfile = Pidfile(path)
    pidfile.acquire()
    try:
        said = daemonize(lambda told: _daemon(pidfile, serve, Readiness(told)), Path(log_file), _READY_WITHIN)
    finally:
        pidfile.leave()
    if said.startswith(_READY):
        say(f"node started, process {said.removeprefix(_READY)}")
        return ExitCode.OK
    code, what = _why_not(said)
    remark(f"taskscheduler: the node is not ready: {what or f'see {log_file}'}")
    return code


def _why_not(said: str) -> tuple[int, str]:
    """The exit code and the line that a foreground node would have ended with; nobody knows if it said nothing."""
    code, _, what = said.removeprefix(_FAILED).partition(" ")
    return (int(code), what) if what else (ExitCode.FAILED, "")


def _daemon(pidfile: Pidfile, serve: Callable[[], int], readiness: Readiness) -> int:
    try:
        pidfile.write()
        logging.getLogger("taskscheduler_daemon").addHandler(readiness)
        return serve()
    except Exception as error:
        code, what = failure(error)
        logger.debug("the node ended by an error", exc_info=True)
        remark(f"taskscheduler: {what}")
        readiness.tell(f"{_FAILED}{code:d} {what}")
        return code
    finally:
        pidfile.release()
