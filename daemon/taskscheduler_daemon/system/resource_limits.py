"""The limits of one worker: memory, CPU time per job, open files, processes.

Hard limits hold as long as the worker lives. Soft limits, a little lower, hold while a job runs: the headroom lets the
worker still report a job that exhausted its limit. They guard against accidents; they are no sandbox.
"""

from __future__ import annotations

import math
import resource
import signal
from dataclasses import dataclass, replace
from types import FrameType, TracebackType

_SPARE_MEMORY = 32 * 1024 * 1024  #: bytes for the report of a job that has used up its memory

_SPARE_FILES = 16  #: descriptors for the same

_SPARE_CPU = 1.0  #: seconds in which a job can clean up after its CPU time, before its worker is killed

#: memory that the process writes to and shares with nobody. Not RLIMIT_AS: the address space is full of reservations,
#: a client of the driver alone takes 200 MB of it
_MEMORY = resource.RLIMIT_DATA

_INFINITY = resource.RLIM_INFINITY

_NOTHING = ()


class CpuLimitError(BaseException):
    """Raised inside a job that used up its CPU time; not an Exception, so that jobs do not catch it by accident."""


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """The limits of each worker; 0: no limit."""

    memory: int = 0  #: bytes
    cpu: float = 0  #: CPU seconds of one job
    files: int = 0  #: open descriptors
    processes: int = 0  #: processes and threads of this user on the whole host

    def without_cpu(self) -> ResourceLimits:
        """Returns the limits for many jobs at once: the CPU time of one among them is not known."""
        return replace(self, cpu=0)

    def __bool__(self) -> bool:
        return bool(self.memory or self.cpu or self.files or self.processes)

    def impose(self) -> None:
        """Sets the hard limits of this process and its children, for good; stricter ones are kept."""
        if self:
            _restrict(resource.RLIMIT_CORE, 0)
        if self.memory:
            _restrict(_MEMORY, self.memory + _SPARE_MEMORY)
        if self.files:
            _restrict(resource.RLIMIT_NOFILE, self.files + _SPARE_FILES)
        if self.processes:
            _restrict(resource.RLIMIT_NPROC, self.processes)


def _restrict(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    lowest = limit if hard == _INFINITY else min(limit, hard)
    resource.setrlimit(kind, (lowest, lowest))


def _set_soft(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == _INFINITY or 0 <= limit < hard else hard, hard))


class LimitGuard:
    """Enforces the limits while a job runs: `with guard:` around each.

    Two timers of the kernel count CPU time, also inside C code: one raises CpuLimitError in the job; if that does not
    end it, the other kills the process by SIGXCPU.
    """

    def __init__(self, limits: ResourceLimits) -> None:
        self._limits = limits
        kinds = ((_MEMORY, limits.memory), (resource.RLIMIT_NOFILE, limits.files), (resource.RLIMIT_CPU, limits.cpu))
        self._kinds = [kind for kind, limit in kinds if limit]
        self._loose: tuple[tuple[int, tuple[int, int]], ...] = _NOTHING  #: the limits to restore after the job
        self._armed = False  #: whether a job runs in which CpuLimitError may be raised
        if limits.cpu:
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            signal.signal(signal.SIGPROF, self._cpu_used_up)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGXCPU, signal.SIGPROF])

    def __enter__(self) -> None:
        if self._limits:
            self._loose = tuple((kind, (resource.getrlimit(kind)[1],) * 2) for kind in self._kinds)
            self._tighten(self._limits)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loosen()

    def loosen(self) -> None:
        """Lifts the limits of a job. May be repeated, as CpuLimitError may have come in between."""
        self._armed = False
        for kind, unlimited in self._loose:  # prepared before the job, as there may be no memory left now
            try:
                resource.setrlimit(kind, unlimited)
            except (OSError, ValueError):
                pass  # the job has lowered its hard limit, for good
        if self._loose and self._limits.cpu:
            signal.setitimer(signal.ITIMER_PROF, 0)
        self._loose = _NOTHING

    def _tighten(self, limits: ResourceLimits) -> None:
        if limits.files:
            _set_soft(resource.RLIMIT_NOFILE, limits.files)
        if limits.cpu:
            # the kernel counts from the start of the process: each job begins where the one before has ended
            used = resource.getrusage(resource.RUSAGE_SELF)
            _set_soft(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + limits.cpu + _SPARE_CPU))
            self._armed = True
            signal.setitimer(signal.ITIMER_PROF, limits.cpu)
        if limits.memory:
            _set_soft(
                _MEMORY, limits.memory
            )  # last: earlier jobs may have left so little that the next allocation fails

    def _cpu_used_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise CpuLimitError(cpu_used_up(self._limits.cpu))


def cpu_used_up(limit: float) -> str:
    """Returns the error message of a job that used up its CPU time."""
    return f"used more than {limit:g} CPU seconds (max_cpu)"
