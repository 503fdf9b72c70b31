"""The processes of a run: they end with the one that started them, and are known for certain by their environment."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.faults.history import DIRECTORY
from tests.support.nodes import ROOT

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have this process killed when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(module: str, *arguments: str, history: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Run a module of this package that writes to this history."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), DIRECTORY: str(history)}
    command = [sys.executable, "-m", f"tests.faults.{module}", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, env=environment)


def of_run(history: Path) -> list[int]:
    """The pids of all processes, however they descend, that were started to write to this history."""
    mark = f"{DIRECTORY}={history}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
            except OSError:
                pass  # it is gone, or not ours to look at
    return found


def send(pid: int, number: int) -> None:
    """Send a signal to a process of ours; nothing if it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_all(history: Path) -> list[int]:
    """SIGKILL to whatever is left of a run; what that was."""
    left = of_run(history)
    for pid in left:
        send(pid, signal.SIGKILL)
    return left
