"""Starts the keeper as a detached process and waits for its report."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import IO

from taskscheduler.embedded.binary import ENVIRONMENT, find_mongod
from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.embedded.state_dir import StateDir, last_line, log_size, open_log, trim
from taskscheduler.errors import EmbeddedServerError

_KEEPER = "taskscheduler.embedded.keeper"

# The shell ends at once and leaves the keeper to init. As a child of ours it would become a zombie in processes that
# outlive it, and disturb processes that wait for all of their children.
_DETACH = ("/bin/sh", "-c", '"$@" &', "sh")

_LONGEST_REPORT = 65536

_LOOK, _LOOKS = 0.05, 100  #: seconds between two looks at a lock, and how many


def launch_keeper(state: StateDir, timeout: StartTimeout) -> None:
    """Starts a keeper and waits until its server is ready, or until it reports that there is a keeper already.

    Raises EmbeddedServerError when no mongod can run here, the start fails, or the time is over.
    """
    binary = find_mongod()
    trim(state.keeper_log)
    log_start = log_size(state.keeper_log)
    with open_log(state.keeper_log) as log, _launch(state, binary, log) as launcher:
        assert launcher.stdout is not None
        try:
            reported = _await_report(launcher.stdout, timeout)
        except BaseException:
            _await_lock(state, launcher.stdout)
            raise
    if reported in ("ready", "busy"):
        return
    reason = reported.removeprefix("failed ")
    if not reason:
        reason = f"its keeper ended: {last_line(state.keeper_log, log_start)} (log: {state.keeper_log})"
    raise EmbeddedServerError(f"the embedded MongoDB server did not start: {reason}")


def is_keeper(pid: int) -> bool:
    """Whether a process keeps an embedded server, or is about to; False if the system does not tell.

    A keeper belongs to all users of its server. Whoever ends the processes below a node, a manager or a job, or
    adopts what they left behind, spares it: it ends by itself after the last user.
    """
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return (b"-m", _KEEPER.encode()) in pairwise(arguments)


def _launch(state: StateDir, binary: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    # -P: a file in the state directory must not be imported in place of a module of the same name.
    return subprocess.Popen(
        [*_DETACH, sys.executable, "-P", "-m", _KEEPER, str(state.root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=state.root,
        env={**os.environ, ENVIRONMENT: str(binary.absolute()), "PYTHONPATH": _import_path()},
        start_new_session=True,
        umask=0o077,
    )


def _import_path() -> str:
    # The keeper can import whatever this process can, however its path was set.
    return os.pathsep.join(os.path.abspath(entry) for entry in sys.path)


def _await_lock(state: StateDir, stdout: IO[bytes]) -> None:
    """Waits after an interruption until the keeper has its lock, by which others wait for its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        for _ in range(_LOOKS):
            lock = FileLock(state.keeper_lock)
            is_free = lock.try_exclusive()
            lock.close()
            if not is_free or selector.select(_LOOK):
                return


def _await_report(stdout: IO[bytes], timeout: StartTimeout) -> str:
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while not selector.select(min(timeout.remaining(), _LOOK)):
            timeout.pause(0)
    return os.read(stdout.fileno(), _LONGEST_REPORT).decode(errors="replace").strip()
