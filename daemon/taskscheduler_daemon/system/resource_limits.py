"""Decides what one worker may use of its host: memory, CPU time per job, open files, processes.

Hard limits hold from the birth of the worker; the soft ones, a little lower, only while a job runs: what a job has used
up does not keep its worker from telling about it. They are a guard against accidents, no sandbox.
"""

from __future__ import annotations

import math
import resource
import signal
from dataclasses import dataclass, replace
from types import FrameType, TracebackType

_SPARE_MEMORY = 32 * 1024 * 1024  #: for the report of a job that has used up its memory

_SPARE_FILES = 16

_SPARE_CPU = 1.0  #: seconds in which a job that has had its CPU time can clean up before its worker is killed

#: memory that the process writes to and shares with nobody. Not RLIMIT_AS: the address space is full of reservations,
#: a client of the driver alone takes 200 MB of it
_MEMORY = resource.RLIMIT_DATA

_INFINITY = resource.RLIM_INFINITY

_NOTHING = ()


class CpuLimitError(BaseException):
    """Raised inside a job that has had its CPU time; not an Exception, so that jobs do not catch it by accident."""


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What each worker may use; 0: no limit."""

    memory: int = 0  #: bytes
    cpu: float = 0  #: CPU seconds of one job
    files: int = 0  #: open descriptors
    processes: int = 0  #: processes and threads of this user on the whole host

    def without_cpu(self) -> ResourceLimits:
        """The same for many jobs at once: nobody can tell which of them has used the CPU."""
        return replace(self, cpu=0)

    def __bool__(self) -> bool:
        return bool(self.memory or self.cpu or self.files or self.processes)

    def impose(self) -> None:
        """Bind this process and all that it starts, once and for all. Nothing is loosened that is stricter already."""
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
    """Holds a worker's jobs to its limits: `with guard:` around each.

    CPU time is counted by two of the kernel's timers, neither of which stands still in C code: one raises
    CpuLimitError in the job, and if that does not end it, the other one kills the process by SIGXCPU.
    """

    def __init__(self, limits: ResourceLimits) -> None:
        self._limits = limits
        kinds = ((_MEMORY, limits.memory), (resource.RLIMIT_NOFILE, limits.files), (resource.RLIMIT_CPU, limits.cpu))
        self._kinds = [kind for kind, limit in kinds if limit]
        self._loose: tuple[tuple[int, tuple[int, int]], ...] = _NOTHING  #: what to set after the job
        self._armed = False  #: whether there is a job to raise CpuLimitError in
        if limits.cpu:
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            signal.signal(signal.SIGPROF, self._cpu_used_up)

    def __enter__(self) -> None:
        if self._limits:
            self._loose = tuple((kind, (resource.getrlimit(kind)[1],) * 2) for kind in self._kinds)
            self._tighten(self._limits)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loosen()

    def loosen(self) -> None:
        """Lift the limits of a job. May be repeated, as the end of its CPU time may have come in between."""
        self._armed = False
        for kind, unlimited in self._loose:  # made before, as there may be no memory left to make anything
            resource.setrlimit(kind, unlimited)
        if self._loose and self._limits.cpu:
            signal.setitimer(signal.ITIMER_PROF, 0)
        self._loose = _NOTHING

    def _tighten(self, limits: ResourceLimits) -> None:
        if limits.files:
            _set_soft(resource.RLIMIT_NOFILE, limits.files)
        if limits.cpu:
            # the kernel counts for the life of the process: each job begins where the one before has ended
            used = resource.getrusage(resource.RUSAGE_SELF)
            _set_soft(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + limits.cpu + _SPARE_CPU))
            self._armed = True
            signal.setitimer(signal.ITIMER_PROF, limits.cpu)
        if limits.memory:
            _set_soft(_MEMORY, limits.memory)  # last: earlier jobs may have left so much that the least is too much

    def _cpu_used_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise CpuLimitError(cpu_used_up(self._limits.cpu))


def cpu_used_up(limit: float) -> str:
    """What is said of a job that has used more CPU time than it may."""
    return f"used more than {limit:g} CPU seconds (max_cpu)"
