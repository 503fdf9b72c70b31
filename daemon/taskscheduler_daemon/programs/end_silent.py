"""Ends silent program records, and signals those programs that run on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskscheduler.process import Process
from taskscheduler.process_identity import is_local
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.system.kill import signal_program


@dataclass(frozen=True, slots=True)
class EndedProgram:
    """A record that was ended, and what happened to its program."""

    process: Process
    fate: str  #: for people; empty if no signal was asked for


def end_silent(scheduler: Scheduler, job: Any = None, number: int | None = None) -> list[EndedProgram]:
    """Ends the records of programs that fell silent, and sends each program signal `number`, if given.

    Only a program of this host and of this boot of its kernel gets the signal, never a process that got its pid
    later. See Scheduler.end_silent.
    """
    ended = scheduler.end_silent(job)
    return [EndedProgram(process, "" if number is None else _signal(process, number)) for process in ended]


def _signal(process: Process, number: int) -> str:
    program = process.program or {}
    if not is_local(program):
        where = f"on {program.get('host')}, in another container, or before this host was restarted"
        return f"not signalled: its program ran {where}"
    if program.get("started") is None or not signal_program(program["pid"], program["started"], number):
        return f"not signalled: its program, pid {program.get('pid')}, is gone"
    return f"its program, pid {program['pid']}, was signalled"
