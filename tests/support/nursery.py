"""Starts processes of Python quickly: it has imported the product once, and forks for each.

A node takes most of a second of CPU to import what it needs, and a run of all tests starts a thousand. What is forked
here is a process as any other: it has an environment, a working directory and streams of its own, and nothing runs in
the nursery but the loop that forks. Run as a program, it reads one request a line and answers each with one.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]

#: variables that only count when a process begins
_EARLY = ("LD_", "PYTHON", "FAKETIME", "GLIBC", "MALLOC")

#: the environment that tests begin with; some change it for a while
_FIRST = dict(os.environ)

#: what all parts of a node need, and what the driver imports when it first connects
_IMPORTED = (
    "pymongo.synchronous.auth",
    "taskscheduler_daemon.manager.manager",
    "taskscheduler_daemon.manager.supervisor",
    "taskscheduler_daemon.node.node",
    "taskscheduler_daemon.node.session",
    "taskscheduler_daemon.worker.worker",
)

#: and the command line
_COMMANDS = (
    "taskscheduler_daemon.cli.commands.jobs.add",
    "taskscheduler_daemon.cli.commands.jobs.list",
    "taskscheduler_daemon.cli.commands.nodes.node",
    "taskscheduler_daemon.cli.group",
)

_LONGEST_PAUSE = 0.02  #: between two looks whether a process has ended

_PR_SET_PDEATHSIG = 1


def is_ordinary(environment: Mapping[str, str]) -> bool:
    """Whether a process of this environment may be forked from one that began in the first one."""
    late = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    names = {name for name in {*environment, *_FIRST} if name.startswith(_EARLY)} - late
    return all(environment.get(name) == _FIRST.get(name) for name in names)


class Nursery:
    """A process that forks others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def start(self, program: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
        """Runs this program text in a new process, whose streams go to `log`."""
        log.write_bytes(b"")
        request = {"program": program, "arguments": [*arguments], "log": str(log), "environment": {**environment}}
        return Forked(self, self.ask(request))

    def start_as(
        self,
        program: str,
        arguments: Sequence[str],
        streams: Sequence[int],
        environment: Mapping[str, str],
        folder: str,
        **more: Any,
    ) -> int:
        """Runs this program text as `python -c` does, with these three standard streams; returns the pid."""
        request = {"program": program, "arguments": [*arguments], "environment": {**environment}, "folder": folder}
        pid: int = self.ask({**request, **more}, streams)
        return pid

    @property
    def is_alive(self) -> bool:
        """Whether it can start others."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], streams: Sequence[int] = ()) -> Any:
        """Sends a request, and returns the answer. Safe to use from many threads."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            if streams:
                socket.send_fds(self._streams, [b"x"], [*streams])
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the nursery, and nothing that it has forked."""
        with self._streams, self._process:
            pass


class Forked:
    """A process that a nursery has forked, with what is used of subprocess.Popen."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns how it has ended; None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Returns how it has ended, which it does within so many seconds. Raises TimeoutExpired."""
        deadline, pause = time.monotonic() + timeout, 0.001
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


# -- in the nursery itself ---------------------------------------------------------------------------------------------


def _serve() -> None:
    streams = socket.socket(fileno=int(sys.argv[1]))
    streams.set_inheritable(False)
    for name in (*_IMPORTED, *_COMMANDS):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who reads our answers
    for line in sys.stdin:
        request = json.loads(line)
        if "folder" in request:
            request["streams"] = socket.recv_fds(streams, 1, 3)[1]
        answer = _ended(request["poll"]) if "poll" in request else _fork(request, streams)
        print(json.dumps(answer), flush=True)  # noqa: T201


def _ended(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _fork(request: Mapping[str, Any], own: socket.socket) -> int:
    pid = os.fork()
    if pid:
        for stream in request.get("streams", ()):
            os.close(stream)
        return pid
    code = 1
    try:
        own.close()
        _prepare(request)
        program = compile(request["program"], "<program>", "exec")
        exec(program, {"__name__": "__main__"})  # noqa: S102  # as `python -c` does
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)  # noqa: T201
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(code)
    raise AssertionError("never")


def _prepare(request: Mapping[str, Any]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # an interrupted run leaves nothing behind
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    streams = request.get("streams") or _of_a_log(request["log"])
    for number, source in enumerate(streams):
        os.dup2(source, number)
    for source in set(streams):
        os.close(source)
    if "folder" in request:
        _move(request)
    sys.argv = ["-c", *request["arguments"]]
    random.seed()


def _of_a_log(path: str) -> list[int]:
    log = os.open(path, os.O_WRONLY | os.O_APPEND)
    return [os.open(os.devnull, os.O_RDONLY), log, log]


def _move(request: Mapping[str, Any]) -> None:
    """Does what an interpreter does that starts in another folder, with other streams."""
    os.chdir(request["folder"])
    if request["session"]:
        os.setsid()
    if request["group"] >= 0:
        os.setpgid(0, request["group"])
    added = request["environment"].get("PYTHONPATH", "")
    own = [entry for entry in sys.path if Path(entry or ".").absolute() != _ROOT]
    sys.path[:] = ["", *filter(None, added.split(os.pathsep)), *own]
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        lines = mode == "w" and (number == 2 or os.isatty(number))
        errors = "backslashreplace" if number == 2 else "strict"
        stream = open(number, mode, buffering=1 if lines else -1, errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _leave(code: int) -> None:
    """Ends this process as the interpreter does, except that it was forked in the middle of another one."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    _serve()
