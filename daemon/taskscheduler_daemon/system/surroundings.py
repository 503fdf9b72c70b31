"""What a process has in common with everything that runs in it: captured once, and restored after each job.

Most jobs change nothing, so a glance at everything comes first, after every job. It takes half as long as a look at
each part, which follows only if the glance has seen a change.
"""

from __future__ import annotations

import gc
import locale
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from fcntl import F_GETFL, fcntl
from functools import partial
from operator import call
from typing import Any, cast

from taskscheduler_daemon.system.standard_streams import DESCRIPTORS, is_marked
from taskscheduler_daemon.system.surrounding_parts import (
    BLOCK,
    LIMITS,
    SIGNALS,
    Directory,
    Environment,
    Identity,
    Interpreter,
    Limits,
    Part,
    SignalHandlers,
    SignalMask,
    StandardStreams,
    Timers,
    Umask,
    WakeupDescriptor,
    get_handler,
    get_locale,
    get_mask,
    get_processors,
)


class _Glance:
    """Tells whether anything has changed, but not what. It sees all that any part sees."""

    def __init__(self, timers: Timers, umask: Umask, environment: Environment, identity: Identity) -> None:
        self._calls = _calls(timers, umask, identity)
        self._environ, self._encoded = environment.environ, environment.encoded
        self._variables = dict(environment.encoded)
        self._before: list[Any] = []
        try:
            self._before = self._look()
        except (OSError, ValueError):
            pass  # some of it is not there: it always counts as changed, and the parts are looked at

    def sees_change(self) -> bool:
        """Tells whether something is not as it was. Raises what functions of Python raise that a job has replaced."""
        try:
            now = self._look()
        except (OSError, ValueError):  # a stream is closed, or the directory is gone
            return True
        return now != self._before or os.environ is not self._environ or self._encoded != self._variables

    def _look(self) -> list[Any]:
        """Returns all but the environment, in one list: a method for each part would take longer than what it calls."""
        i, o, e = sys.stdin, sys.stdout, sys.stderr
        wakeup = signal.set_wakeup_fd(-1)
        if wakeup != -1:
            signal.set_wakeup_fd(wakeup)
        closed = getattr(i, "closed", False), getattr(o, "closed", False), getattr(e, "closed", False)
        return [i, o, e, closed, wakeup, os.getcwd(), *map(call, self._calls), *map(get_handler, SIGNALS)]


def _calls(timers: Timers, umask: Umask, identity: Identity) -> list[Callable[[], Any]]:
    """Returns what asks the system and Python for one thing each."""
    return [
        *(partial(signal.getitimer, timer) for timer in timers.unused),
        partial(get_mask, BLOCK, ()),
        partial(os.umask, umask.before),
        *(partial(resource.getrlimit, kind) for kind in LIMITS),
        *(partial(fcntl, descriptor, F_GETFL) for descriptor in DESCRIPTORS),
        *(partial(_file, descriptor) for descriptor in DESCRIPTORS if not is_marked(descriptor)),
        *(partial(_file, "/") for _ in range(identity.is_in_root)),
        *(os.geteuid, os.getegid, os.getgroups, os.getuid),
        partial(get_processors, 0),
        partial(os.getpriority, os.PRIO_PROCESS, 0),
        partial(get_locale, locale.LC_ALL),
        *(sys.getrecursionlimit, gc.isenabled, socket.getdefaulttimeout, sys.getswitchinterval),
    ]


def _file(which: int | str) -> tuple[int, int]:
    found = os.stat(which)
    return found.st_ino, found.st_dev


class Surroundings:
    """The surroundings of the jobs of this process, as they are when it is made."""

    def __init__(self) -> None:
        timers, umask, environment, identity = Timers(), Umask(), Environment(), Identity()
        parts: tuple[Part, ...] = (  # in this order: no timer may fire, and no signal reach a handler of the job
            timers,
            SignalHandlers(),
            SignalMask(),
            WakeupDescriptor(),
            Directory(),
            umask,
            environment,
            Limits(),
            StandardStreams(),
            identity,
            Interpreter(),
        )
        self._before = [(part, _kept(part.look())) for part in parts]
        self._glance = _Glance(timers, umask, environment, identity)

    def restore(self) -> list[str]:
        """Restores what has changed; returns the names of what cannot be restored."""
        spoiled = []
        try:
            if self._glance.sees_change():
                for part, before in self._before:
                    if part.look() != before and not _restored(part, before):
                        spoiled.append(part.name)
        except Exception as error:  # a job has replaced a function that is called here
            spoiled.append(f"functions of Python ({type(error).__name__})")
        return spoiled


def _kept(found: Any) -> Any:
    """Returns what a part shows, to be kept: the environment shows the mapping itself, which changes."""
    return dict(found) if isinstance(found, Mapping) else found


def _restored(part: Part, before: Any) -> bool:
    try:
        part.restore(before)
    except (OSError, ValueError, RecursionError, locale.Error):
        return False
    return cast(bool, part.look() == before)
