"""Processes of Python, forked where that makes no difference: to import what a command needs takes 0.7 s of CPU."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.support.nodes import nursery
from tests.support.nursery import Nursery, is_ordinary

_SIGNATURE = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]


class Popen(subprocess.Popen[str]):
    """Starts a process as subprocess.Popen does; what is run by `python -c` is forked from one that has imported it.

    What tests how a program starts takes subprocess.Popen itself.
    """

    _nursery: Nursery | None = None
    _code: int | None = None

    def _execute_child(self, *arguments: Any) -> None:
        given = _SIGNATURE.bind(self, *arguments).arguments
        command = list(map(os.fspath, given["args"])) if not isinstance(given["args"], str) else [given["args"]]
        environment = dict(os.environ if given["env"] is None else given["env"])
        plain = not any(given[name] for name in ("executable", "preexec_fn", "pass_fds", "shell"))
        if not plain or command[:2] != [sys.executable, "-c"] or not is_ordinary(environment):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        pipes = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        streams = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self._nursery = nursery()
        self.pid = self._nursery.start_as(
            command[2],
            command[3:],
            [number if stream == -1 else stream for number, stream in enumerate(streams)],
            environment,
            os.fspath(given["cwd"] or os.getcwd()),
            session=given["start_new_session"],
            group=given["process_group"],
        )
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, _deadstate: int | None = None, **more: Any) -> int | None:
        if self._nursery is None:
            return super()._internal_poll(_deadstate, **more)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            self.returncode = self._ended()
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._nursery is None:
            return super()._try_wait(flags)  # type: ignore[misc, no-any-return]
        pause = 0.001
        while (code := self._ended()) is None:
            if flags & os.WNOHANG:
                return 0, 0
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        return self.pid, code << 8 if code >= 0 else -code

    def _ended(self) -> int | None:
        assert self._nursery is not None
        if self._code is None:
            try:
                self._code = self._nursery.ask({"poll": self.pid})
            except (OSError, ValueError):  # the nursery has ended, and all that it has forked with it
                self._code = -signal.SIGKILL
        return self._code


def run(
    command: Sequence[Any], *, timeout: float, capture_output: bool = False, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Does what subprocess.run does, by Popen."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done
