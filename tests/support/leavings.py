"""What jobs leave behind in their process, and a look at what the next one finds."""

from __future__ import annotations

import gc
import io
import locale
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from taskscheduler import Job

_LIMITS = [name for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"]


def state() -> dict[str, Any]:
    """What a job can see of its surroundings; the same before and after another job."""
    found: dict[str, Any] = {f"signal {n}": repr(signal.getsignal(n)) for n in sorted(signal.valid_signals())}
    found |= {name: list(resource.getrlimit(getattr(resource, name))) for name in _LIMITS}
    found |= {f"descriptor {n}": _identity(n) for n in (0, 1, 2)}
    found["streams"] = [type(stream).__name__ for stream in (sys.stdin, sys.stdout, sys.stderr)]
    found["writable"] = [stream.writable() for stream in (sys.stdout, sys.stderr)]
    found["mask"] = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    found["timers"] = [signal.getitimer(n)[0] > 0 for n in (0, 1, 2)]
    found["directory"] = os.getcwd()
    found["umask"] = os.umask(0)
    os.umask(found["umask"])
    found["environment"] = [f"{name}={value}" for name, value in sorted(os.environ.items())]
    found["zone"] = time.localtime(0)[3]
    found["locale"] = locale.setlocale(locale.LC_ALL)
    found["python"] = [sys.getrecursionlimit(), gc.isenabled(), socket.getdefaulttimeout(), sys.getswitchinterval()]
    found["blocking"] = [os.get_blocking(n) for n in (0, 1, 2)]
    found["wakeup"] = signal.set_wakeup_fd(-1)
    found["identity"] = [os.geteuid(), os.getegid(), os.getpriority(0, 0), sorted(os.sched_getaffinity(0))]
    found["more of it"] = [os.getuid(), os.getgid(), os.getgroups(), os.stat("/").st_ino]
    return found


def _identity(descriptor: int) -> list[int]:
    found = os.fstat(descriptor)
    return [found.st_dev, found.st_ino]


def handle(_number: int, _frame: object) -> None:
    raise ValueError("a handler that a job has left")


def _timer(kind: int, delay: float = 1000.0) -> None:
    signal.setitimer(kind, delay, delay)


def _block(*numbers: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def _block_and_send(number: int) -> None:
    _block(number)
    signal.raise_signal(number)


def _soft(kind: int, limit: int) -> None:
    resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


def _into_a_removed_directory() -> None:
    os.chdir(path := tempfile.mkdtemp())
    os.rmdir(path)


def _leave_wakeup() -> None:
    left, _ = socket.socketpair()
    left.setblocking(False)
    signal.set_wakeup_fd(left.detach())


def _zone() -> None:
    os.environ["TZ"] = "XXX-5"
    time.tzset()


def _replace(descriptor: int) -> None:
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)


def _set(name: str, value: Any) -> None:
    setattr(sys, name, value)


def _niceness() -> None:
    now, highest = os.getpriority(os.PRIO_PROCESS, 0), 19
    os.setpriority(os.PRIO_PROCESS, 0, now + 1 if now < highest else now - 1)


def _hard() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))


def _new_environment() -> None:
    os.environ = {"ALL": "new"}  # type: ignore[assignment]  # noqa: B003


#: changes after which the same worker is as it was
RESTORED: dict[str, Callable[[], Any]] = {
    "alarm": lambda: signal.alarm(1000),
    "real timer": lambda: _timer(signal.ITIMER_REAL),
    "virtual timer": lambda: _timer(signal.ITIMER_VIRTUAL),
    "profiling timer": lambda: _timer(signal.ITIMER_PROF),
    **{
        f"{number.name} {what}": partial(signal.signal, number, handler)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGPROF)
        for what, handler in (("default", signal.SIG_DFL), ("ignored", signal.SIG_IGN), ("handled", handle))
    },
    "SIGUSR1 ignored": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "SIGPIPE default": lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
    "SIGRTMAX handled": lambda: signal.signal(signal.SIGRTMAX, handle),
    "SIGTERM blocked": lambda: _block(signal.SIGTERM),
    "all blocked": lambda: _block(*signal.valid_signals()),
    "SIGALRM pending": lambda: _block_and_send(signal.SIGALRM),
    "SIGUSR2 pending": lambda: _block_and_send(signal.SIGUSR2),
    "directory": lambda: os.chdir("/"),
    "removed directory": _into_a_removed_directory,
    "umask": lambda: os.umask(0o777),
    "new variable": lambda: os.environ.update(LEFT="here"),
    "changed variable": lambda: os.environ.update(PATH="/nowhere"),
    "no variables": lambda: os.environ.clear(),
    "another environment": _new_environment,
    "time zone": _zone,
    "open files": lambda: _soft(resource.RLIMIT_NOFILE, 40),
    "core": lambda: _soft(resource.RLIMIT_CORE, 0),
    "file size": lambda: _soft(resource.RLIMIT_FSIZE, 1000),
    "CPU": lambda: _soft(resource.RLIMIT_CPU, 10_000),
    "data": lambda: _soft(resource.RLIMIT_DATA, 1 << 34),
    "address space": lambda: _soft(resource.RLIMIT_AS, 1 << 35),
    "stack": lambda: _soft(resource.RLIMIT_STACK, 1 << 20),
    "processes": lambda: _soft(resource.RLIMIT_NPROC, 1),
    "stdout": lambda: _set("stdout", io.StringIO()),
    "stderr": lambda: _set("stderr", io.StringIO()),
    "stdin": lambda: _set("stdin", io.StringIO("x")),
    "descriptor 0 closed": lambda: os.close(0),
    **{f"descriptor {number} does not block": partial(os.set_blocking, number, False) for number in (0, 1, 2)},
    "processors": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "recursion": lambda: sys.setrecursionlimit(5000),
    "collection": gc.disable,
    "socket timeout": lambda: socket.setdefaulttimeout(0.001),
    "switches": lambda: sys.setswitchinterval(10),
    "wakeup": _leave_wakeup,
}

#: what root can give up
_GIVEN_UP: dict[str, Callable[[], Any]] = {
    "user": lambda: os.setuid(65534),
    "real user": lambda: os.setreuid(65534, -1),
    "effective user": lambda: os.seteuid(65534),
    "effective group": lambda: os.setegid(65534),
    "groups": lambda: os.setgroups([65534]),
    "root directory": lambda: os.chroot(tempfile.gettempdir()),
}

#: changes after which the worker is replaced
SPOILING: dict[str, Callable[[], Any]] = {
    "sys.stdout closed": lambda: sys.stdout.close(),
    "sys.stderr closed": lambda: sys.stderr.close(),
    "sys.stdin closed": lambda: sys.stdin.close(),
    "sys.stdout detached": lambda: sys.stdout.detach(),  # type: ignore[union-attr]
    **{f"descriptor {number} closed": partial(os.close, number) for number in (1, 2)},
    **{f"descriptor {number} replaced": partial(_replace, number) for number in (0, 1, 2)},
    "descriptor 1 leads to the other": lambda: os.dup2(2, 1),
    "descriptor 2 leads to the other": lambda: os.dup2(1, 2),
    "descriptor 0 reads": lambda: os.dup2(os.open(__file__, os.O_RDONLY), 0),
    "descriptor 0 reads and appends": lambda: os.dup2(os.open(__file__, os.O_RDONLY | os.O_APPEND), 0),
    "descriptor 1 appends": lambda: os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_APPEND), 1),
    "all three closed": lambda: os.closerange(0, 3),
    "niceness": _niceness,
    **(_GIVEN_UP if os.geteuid() == 0 else {}),
    **({} if os.geteuid() == 0 else {"hard limit": _hard}),
    "getcwd": lambda: setattr(os, "getcwd", None),
}


class Leaves(Job):
    """Changes what the data names, and ends well."""

    name = "leaves"

    def start(self) -> int:
        {**RESTORED, **SPOILING}[self.data]()
        return os.getpid()


class Looks(Job):
    """Returns the pid of its worker, and what it finds there."""

    name = "looks"

    def start(self) -> list[Any]:
        return [os.getpid(), state()]


class LeavesAsync(Leaves):
    """The same in an event loop."""

    name = "leaves_async"

    async def start(self) -> int:  # type: ignore[override]
        return super().start()
