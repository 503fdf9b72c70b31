"""Sends signals to a process, its group or its whole tree."""

from __future__ import annotations

import os
import signal

from taskscheduler.embedded.launcher import is_keeper
from taskscheduler.process_identity import started_at
from taskscheduler_daemon.system.procfs import children, descendants


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


def signal_program(pid: int, started: int, number: int) -> bool:
    """Sends a signal to the process that has this pid and was started then, and to no other; False if it is gone.

    A descriptor pins the process, so that another one which gets its pid in between is not hit.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if started_at(pid) != started:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


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
