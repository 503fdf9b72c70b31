"""Reaps children, including adopted ones."""

from __future__ import annotations

import os

from taskscheduler_daemon.system.exits import ChildExit


def reap() -> list[ChildExit]:
    """Returns how all children ended that did since the last call, including adopted ones."""
    ended: list[ChildExit] = []
    while (found := _wait(-1, os.WNOHANG)) is not None:
        ended.append(found)
    return ended


def ended(pid: int) -> ChildExit | None:
    """Returns how a child ended; None while it lives."""
    return _wait(pid, os.WNOHANG)


def wait_for(pid: int) -> ChildExit | None:
    """Waits until a child has ended, and returns how; None if it was reaped before."""
    return _wait(pid, 0)


def _wait(pid: int, flags: int) -> ChildExit | None:
    try:
        found, status, usage = os.wait4(pid, flags)
    except ChildProcessError:
        return None
    if found == 0:
        return None
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = None if killed_by is not None else os.waitstatus_to_exitcode(status)
    return ChildExit(found, code, killed_by, usage.ru_maxrss, usage.ru_utime + usage.ru_stime)


def reap_strangers(known: int = 0) -> None:
    """Reaps orphans that this process adopted: children outside its process group, except `known`.

    Children in the group were started here, and are waited for where they were started.
    """
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid == known or os.getpgid(found.si_pid) == os.getpgrp():
                return
            os.waitpid(found.si_pid, os.WNOHANG)
        except (ChildProcessError, ProcessLookupError):
            return
