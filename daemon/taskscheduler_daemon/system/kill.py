"""Signals to a process, its group, its whole tree."""

from __future__ import annotations

import os
import signal

from taskscheduler.process_identity import started_at
from taskscheduler_daemon.system.procfs import children, descendants


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that `pid` leads; nothing if it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to one process; nothing if it is gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def signal_program(pid: int, started: int, number: int) -> bool:
    """Send a signal to the process that has this pid and was started then, and to no other; whether it was sent.

    The descriptor holds on to one process: a pid that is given to another one in between is not hit.
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
    """SIGKILL to a process, its group and everything that descends from it, whatever group or session that is in."""
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
    """Kill every child that is not in `known`, with all below it; whether there was one.

    For a process whose other children are orphans of dead workers, adopted through `adopt_orphans`. `spare_group`
    leaves alone what is in this process's own group: children that somebody here has started.
    """
    strangers = [pid for pid in children(os.getpid()) if pid not in known and not (spare_group and _in_group(pid))]
    for pid in strangers:
        for below in [*descendants(pid), pid]:
            kill(below)
    return bool(strangers)
