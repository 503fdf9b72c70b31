"""Runs a queue node as a child process that never outlives the program that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from taskscheduler.errors import SchedulerError
from taskscheduler_daemon.system.kill import kill_tree
from taskscheduler_daemon.system.spawn import dying_with_parent

_ENDS_WITHIN = 10.0  #: seconds between SIGTERM and SIGKILL


class NodeSubprocess:
    """A queue node, or what goes with one, in a session of its own: Ctrl-C reaches only what started it.

    Runs `python -m MODULE PID ARGUMENT...`, where PID is this process; the module passes it to `die_with_parent`.
    Leaving the context stops the process.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: BinaryIO,
        environment: Mapping[str, str],
        directory: Path | None = None,
        descriptors: Sequence[int] = (),
        ends_within: float = _ENDS_WITHIN,
    ) -> None:
        """Starts the process. `environment` is added to that of this process, and `descriptors` are passed on.

        `log` must be open for reading, too, if `check` is called. `ends_within`: seconds from SIGTERM to SIGKILL.
        """
        self._log = log
        self._ends_within = ends_within
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self._process = subprocess.Popen(
            # -P: nothing in the working directory may be taken for a module
            [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": path, **environment},
            start_new_session=True,
            pass_fds=descriptors,
        )

    def __enter__(self) -> NodeSubprocess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ended(self) -> int | None:
        """Returns the exit code if the process has ended by itself."""
        return self._process.poll()

    def check(self) -> None:
        """Raises SchedulerError, with the last line of the log, if the node has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise SchedulerError(f"the queue node ended by itself with exit code {code}: {self._last_line()}")

    def _last_line(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it left no message")

    def stop(self) -> None:
        """Sends SIGTERM, and after a while SIGKILL to the node and everything below it; returns when it has ended."""
        self._process.terminate()
        try:
            self._process.wait(self._ends_within)
        except subprocess.TimeoutExpired:
            kill_tree(self._process.pid)
            self._process.wait()


def die_with_parent(parent: int) -> bool:
    """Asks the kernel to kill this process when its parent dies; returns False if `parent` has died already.

    It is SIGKILL, as a node that gets SIGTERM would wait for a database server that may be stopping, too. The node's
    workers die with it.
    """
    dying_with_parent(signal.SIGKILL)()
    return os.getppid() == parent
