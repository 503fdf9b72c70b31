"""Starts, watches and stops the mongod process."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskscheduler.embedded.locks import FileLock
from taskscheduler.embedded.state_dir import HOST, REPLICA_SET, StateDir, last_line, log_size, shorten
from taskscheduler.errors import EmbeddedServerError

STOP_SECONDS = 30.0

_LITTLE_SPACE = 64 * 1024 * 1024
_EXIT_PORT_TAKEN = 48
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class PortTakenError(EmbeddedServerError):
    """Another program took the port between our check and the start of mongod."""


class Mongod:
    """A running mongod, a child of this process."""

    def __init__(self, binary: Path, state: StateDir, port: int, lock: FileLock, *, replicated: bool) -> None:
        """Starts mongod, which inherits `lock` and so holds it as long as it uses the data."""
        self.port = port
        self.key = state.ensure_key()
        self._state = state
        self._log_start = log_size(state.mongod_log)
        self._output_start = log_size(state.keeper_log)
        self.process = subprocess.Popen(
            _command(binary, state, port, replicated=replicated),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            stderr=sys.stderr.fileno(),
            pass_fds=(lock.fd,),
            preexec_fn=_die_with_parent(),
        )

    def check(self) -> None:
        """Raises EmbeddedServerError with the relevant line of the log if mongod has ended."""
        code = self.process.poll()
        if code is None:
            return
        message = f"mongod ended with exit code {code}: {self.last_words()} (log: {self._state.mongod_log})"
        raise PortTakenError(message) if code == _EXIT_PORT_TAKEN else EmbeddedServerError(message)

    def last_words(self) -> str:
        """Returns why this mongod ended, as far as it logged that."""
        reason = (
            first_error(self._state.mongod_log, self._log_start)
            or first_error(self._state.keeper_log, self._output_start)
            or last_line(self._state.keeper_log, self._output_start)
            or "it left no message"
        )
        free = shutil.disk_usage(self._state.root).free
        if free < _LITTLE_SPACE:
            reason += f"; the disk is nearly full, {free // 1024} KiB are free in {self._state.root}"
        return reason

    def reopen_log(self) -> None:
        """Has mongod open its log again. Only for one that serves: before, the signal could end it."""
        self._log_start = self._output_start = 0
        self.process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """Stops mongod cleanly, or by force if it does not end in time."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _command(binary: Path, state: StateDir, port: int, *, replicated: bool) -> list[str]:
    command = [str(binary), "--dbpath", str(state.data), "--bind_ip", HOST, "--port", str(port)]
    command += ["--logpath", str(state.mongod_log), "--logappend", "--logRotate", "reopen", "--quiet", "--nounixsocket"]
    # Without users, the localhost exception would let anybody on this host create one.
    command += ["--keyFile", str(state.key_file), "--setParameter", "enableLocalhostAuthBypass=false", "--noscripting"]
    command += ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"]
    # The fewest that it allows. They protect passwords that can be guessed, and the key is 256 random bits; with its
    # default of 15000 each client takes 9 ms of CPU to log in.
    command += ["--setParameter", "scramSHA256IterationCount=5000"]
    if replicated:
        return [*command, "--replSet", REPLICA_SET, "--oplogSize", "64"]
    # Outside of its replica set it must not delete anything, since that would never reach the oplog.
    return [*command, "--setParameter", "ttlMonitorEnabled=false"]


def _die_with_parent() -> Callable[[], None] | None:
    # A killed keeper cannot stop its mongod, so on Linux the kernel does.
    libc, keeper = _LIBC, os.getpid()
    if libc is None:
        return None

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != keeper:  # it died before we asked
            os._exit(1)

    return ask_kernel


def first_error(log: Path, start: int) -> str:
    """Returns the first error after byte `start` of a mongod log, which causes the others; empty if there is none."""
    try:
        lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((_describe(entry) for entry in map(_parse, lines) if entry.get("s") in ("E", "F")), "")


def _parse(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _describe(entry: dict[str, Any]) -> str:
    detail: Any = entry.get("attr") or {}
    # A status has its text in "error.errmsg"; an error of WiredTiger has a number there and its text in "message.msg".
    for key in ("message", "msg", "error", "errmsg"):
        detail = detail.get(key, detail) if isinstance(detail, dict) else detail
    return shorten(f"{entry.get('msg', '')}: {detail}")
