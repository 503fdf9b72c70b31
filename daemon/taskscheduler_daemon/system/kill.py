"""Sends signals to a process, its group or its whole tree."""

from __future__ import annotations

import os
import signal
from enum import Enum, auto
from typing import TypeGuard

from taskscheduler.embedded.launcher import is_keeper
from taskscheduler.process_identity import started_at
from taskscheduler_daemon.system.procfs import children, descendants, user_of


def signal_group(pid: int, number: int) -> None:
    """Sends a signal to the process group that `pid` leads; does nothing if it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Sends a signal to one process; does nothing if it is gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


class Signalled(Enum):
    """What became of a signal to a program."""

    SENT = auto()
    GONE = auto()  #: no process has this pid and was started then
    FOREIGN = auto()  #: the process belongs to another user


def signal_program(pid: object, started: object, number: int) -> Signalled:
    """Sends a signal to the process of this user that has this pid and was started then, and to no other.

    Root, too, signals only its own processes: whoever may write a record could name any process in it. A descriptor
    pins the process, so that another one which gets its pid in between is not hit.
    """
    if not _is_pid(pid) or type(started) is not int:
        return Signalled.GONE
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return Signalled.GONE
    try:
        if started_at(pid) != started:
            return Signalled.GONE
        if user_of(pid) != os.geteuid():
            return Signalled.FOREIGN
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return Signalled.GONE
    finally:
        os.close(descriptor)
    return Signalled.SENT


def _is_pid(value: object) -> TypeGuard[int]:
    """Whether a value from the database may be a pid; init is nobody's program, and a bool is no number."""
    return type(value) is int and 1 < value < 2**31


def kill_tree(pid: int) -> None:
    """Sends SIGKILL to a process, its group and all its descendants, whatever group or session they are in."""
    below = descendants(pid)
    signal_group(pid, signal.SIGKILL)
    kill(pid)
    for child in below:
        kill(child)


def _in_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return False


def kill_adopted(known: set[int], spare_group: bool = False) -> bool:
    """Kills every child that is not in `known`, with all its descendants; tells whether there was one.

    For a process whose other children are orphans of dead workers, adopted through `adopt_orphans`. `spare_group`
    leaves children in this process's own group alone: somebody here has started them. The keeper of an embedded server
    is always left alone.
    """
    strangers = [pid for pid in children(os.getpid()) if pid not in known and not (spare_group and _in_group(pid))]
    orphans = [pid for pid in strangers if not is_keeper(pid)]
    for pid in orphans:
        for below in [*descendants(pid), pid]:
            kill(below)
    return bool(orphans)
