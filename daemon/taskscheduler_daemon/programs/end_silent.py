"""Ends silent program records, and signals those programs that run on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskscheduler.process import Process
from taskscheduler.process_identity import is_local
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.system.kill import Signalled, signal_program


@dataclass(frozen=True, slots=True)
class EndedProgram:
    """A record that was ended, and what happened to its program."""

    process: Process
    fate: str  #: for people; empty if no signal was asked for


def end_silent(scheduler: Scheduler, job: Any = None, number: int | None = None) -> list[EndedProgram]:
    """Ends the records of programs that fell silent, and sends each program signal `number`, if given.

    Only a program of this user, this host and this boot of its kernel gets the signal, never a process that got its
    pid later. See Scheduler.end_silent.
    """
    ended = scheduler.end_silent(job)
    return [EndedProgram(process, "" if number is None else _signal(process, number)) for process in ended]


def _signal(process: Process, number: int) -> str:
    program = process.program or {}
    if not is_local(program):
        where = f"on {program.get('host')}, in another container, or before this host was restarted"
        return f"not signalled: its program ran {where}"
    named = f"its program, pid {program.get('pid')},"
    match signal_program(program.get("pid"), program.get("started"), number):
        case Signalled.SENT:
            return f"{named} was signalled"
        case Signalled.FOREIGN:
            return f"not signalled: {named} belongs to another user"
        case Signalled.GONE:
            return f"not signalled: {named} is gone"
