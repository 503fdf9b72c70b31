"""The parts of what a process has in common with everything that runs in it, and how each is restored."""

from __future__ import annotations

import gc
import locale
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from taskscheduler_daemon.system.standard_streams import open_standard_streams

SIGNALS = [int(number) for number in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})]

BLOCK = int(signal.SIG_BLOCK)

# the functions of `signal` look for each answer among the names of an enumeration: several times as long
get_handler: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
get_mask: Callable[..., set[int]] = getattr(sys.modules.get("_signal"), "pthread_sigmask", signal.pthread_sigmask)

# that of `locale` looks first whether it is given a list
get_locale: Callable[[int], str] = getattr(sys.modules.get("_locale"), "setlocale", locale.setlocale)

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CORE,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_STACK,
)


class Part(Protocol):
    """One part of the surroundings."""

    name: str  #: for the log

    def look(self) -> Any:
        """Returns what is there now, to be compared."""
        ...

    def restore(self, before: Any) -> None:
        """Restores what was there before, as far as that is possible. Raises OSError or ValueError."""
        ...


class Timers:
    """The interval timers that do not run yet: an alarm of one job would end the next."""

    name = "timers"

    def __init__(self) -> None:
        self.unused = [timer for timer in _TIMERS if not any(signal.getitimer(timer))]

    def look(self) -> list[tuple[float, float]]:
        return list(map(signal.getitimer, self.unused))

    def restore(self, before: list[tuple[float, float]]) -> None:
        for timer, (delay, interval) in zip(self.unused, before, strict=True):
            signal.setitimer(timer, delay, interval)


class SignalHandlers:
    """The handlers of all signals, and the descriptor that wakes an event loop."""

    name = "signal handlers"

    def look(self) -> list[Any]:
        return list(map(get_handler, SIGNALS))

    def restore(self, before: list[Any]) -> None:
        for number, handler in zip(SIGNALS, before, strict=True):
            if handler is not None and get_handler(number) != handler:
                signal.signal(number, handler)


class SignalMask:
    """The blocked signals. What arrived while it was blocked is forgotten, except a request to end."""

    name = "signal mask"

    def look(self) -> set[int]:
        return get_mask(BLOCK, ())

    def restore(self, before: set[int]) -> None:
        for number in signal.sigpending() - before - {signal.SIGTERM}:
            handler = signal.signal(number, signal.SIG_IGN)
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WakeupDescriptor:
    """The descriptor that signals are written to; one that was closed may belong to something else by now."""

    name = "wakeup descriptor"

    def look(self) -> int:
        found = signal.set_wakeup_fd(-1)
        if found != -1:
            signal.set_wakeup_fd(found)
        return found

    def restore(self, before: int) -> None:
        signal.set_wakeup_fd(before)


class Directory:
    """The working directory."""

    name = "working directory"

    def look(self) -> str | None:
        try:
            return os.getcwd()
        except OSError:
            return None  # it was removed, or is outside of the root

    def restore(self, before: str | None) -> None:
        if before is not None:
            os.chdir(before)


class Umask:
    """The mask of the modes of new files. The one call that says what it is sets it, so a look sets what it was."""

    name = "umask"

    def __init__(self) -> None:
        self.before = os.umask(0o077)
        os.umask(self.before)

    def look(self) -> int:
        return os.umask(self.before)

    def restore(self, before: int) -> None:
        os.umask(before)


class Environment:
    """The variables of the environment, and the time zone that follows from them."""

    name = "environment"

    def __init__(self) -> None:
        self.environ = os.environ
        # the mapping itself: os.environ decodes each name and value for each look
        self.encoded: Mapping[Any, Any] = vars(os.environ).get("_data", os.environ)

    def look(self) -> Mapping[Any, Any]:
        return self.encoded if os.environ is self.environ else {}

    def restore(self, before: dict[Any, Any]) -> None:
        os.environ = self.environ  # noqa: B003  # it is the mapping that changes the environment
        now = dict(self.encoded)
        for name in now.keys() | before.keys():
            if now.get(name) == before.get(name):
                continue
            if name in before:
                self.environ[os.fsdecode(name)] = os.fsdecode(before[name])
            else:
                del self.environ[os.fsdecode(name)]
            if os.fsdecode(name) == "TZ":
                time.tzset()


class Limits:
    """The resource limits. A hard limit that was lowered stays low, except for root."""

    name = "resource limits"

    def look(self) -> list[tuple[int, int]]:
        return list(map(resource.getrlimit, LIMITS))

    def restore(self, before: list[tuple[int, int]]) -> None:
        for kind, limits in zip(LIMITS, before, strict=True):
            if resource.getrlimit(kind) != limits:
                resource.setrlimit(kind, limits)


class StandardStreams:
    """The descriptors 0 to 2 and the files on them. Closed or replaced ones cannot be restored: logs may hold them.

    Whether they block is shared with the node and all its workers, which would lose lines of their logs.
    """

    name = "standard streams"

    def look(self) -> tuple[Any, ...]:
        i, o, e = sys.stdin, sys.stdout, sys.stderr
        try:
            closed = getattr(i, "closed", False), getattr(o, "closed", False), getattr(e, "closed", False)
            blocking = os.get_blocking(0), os.get_blocking(1), os.get_blocking(2)
            return i, o, e, blocking, closed, os.fstat(0)[1:3], os.fstat(1)[1:3], os.fstat(2)[1:3]  # inode and device
        except (OSError, ValueError):  # one is closed, or has lost its buffer
            return ()

    def restore(self, before: tuple[Any, ...]) -> None:
        open_standard_streams()  # else what this process opens next gets their numbers
        sys.stdin, sys.stdout, sys.stderr = map(_usable, before[:3])
        for descriptor, blocking in enumerate(before[3]):
            os.set_blocking(descriptor, blocking)


def _usable(stream: Any) -> Any:
    """Returns the stream, or one that discards everything in place of a closed one: logging raises in want of it."""
    try:
        return open(os.devnull, "r+") if getattr(stream, "closed", False) else stream
    except ValueError:
        return open(os.devnull, "r+")


class Identity:
    """The user, the groups, the root directory, the niceness and the processors, which are given up for good."""

    name = "user, groups, root directory, niceness or processors"

    def __init__(self) -> None:
        self.is_in_root = Directory().look() == "/"

    def look(self) -> tuple[Any, ...]:
        # elsewhere a new root is a new working directory as well, and a look at that costs less
        root = os.stat("/")[1:3] if self.is_in_root else ()
        return get_processors(0), os.geteuid(), os.getegid(), os.getgroups(), os.getuid(), root, os.getpriority(0, 0)

    def restore(self, before: tuple[Any, ...]) -> None:
        if before[0] and before[0] != get_processors(0):
            os.sched_setaffinity(0, before[0])


def _no_processors(_pid: int) -> set[int]:
    return set()  # the system does not say on which ones a process may run


get_processors: Callable[[int], set[int]] = getattr(os, "sched_getaffinity", _no_processors)


class Interpreter:
    """Settings of Python for the whole process: locale, recursion limit, garbage collection, timeout of sockets."""

    name = "settings of Python"

    def look(self) -> tuple[str, int, bool, float | None, float]:
        return (
            get_locale(locale.LC_ALL),
            sys.getrecursionlimit(),
            gc.isenabled(),
            socket.getdefaulttimeout(),
            sys.getswitchinterval(),
        )

    def restore(self, before: tuple[str, int, bool, float | None, float]) -> None:
        names, depth, collects, timeout, interval = before
        locale.setlocale(locale.LC_ALL, names)
        sys.setrecursionlimit(depth)
        (gc.enable if collects else gc.disable)()
        socket.setdefaulttimeout(timeout)
        sys.setswitchinterval(interval)
