"""Identifies a process beyond its pid: by host, boot id and start time, so that a reused pid is not mistaken for it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_SPACES = ("pid", "time")  #: the namespaces in which pids and start times are counted

_INIT = 1


class _ProcessStat(NamedTuple):
    """A process as the system describes it."""

    dead: bool  #: it has ended, and its parent has not reaped it yet
    parent: int
    group: int
    started: int


def started_at(pid: int) -> int | None:
    """Returns when a process started, in ticks since the boot; None if it is gone or the system does not say."""
    try:
        stat = _read_stat(pid)
    except OSError:
        return None
    return None if stat.dead else stat.started


def boot_id() -> str | None:
    """Returns the id of this boot of the host; None if the system does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def identify_self() -> dict[str, Any]:
    """Describes this process for the database: host, pid, start time, and the boot and namespaces that these refer to.

    `group` is its process group: the program counts as gone only when no process of the group is left.
    """
    pid = os.getpid()
    scope = {"boot": boot_id(), "space": _space()}
    return {"host": this_host(), "pid": pid, "started": started_at(pid), **scope, "group": os.getpgrp()}


def this_host() -> str:
    """Returns the name of this host."""
    return os.uname().nodename


def this_user() -> str:
    """Returns who runs this process, for people: user@host; the number of a user without a name."""
    uid = os.geteuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name}@{this_host()}"
    except KeyError:
        return f"{uid}@{this_host()}"


def is_local(program: Mapping[str, Any]) -> bool:
    """Whether a stored pid means the same here: this host, this start of its kernel, the same pid namespace."""
    here = (this_host(), boot_id(), _space())
    return None not in here and (program.get("host"), program.get("boot"), program.get("space")) == here


def is_gone(program: Mapping[str, Any]) -> bool:
    """Whether a program of this host has ended with every process of its group; False if in doubt."""
    started, group = program.get("started"), program.get("group")
    pid = program.get("pid")
    if not (_is_pid(pid) and _is_pid(group) and isinstance(started, int) and is_local(program)):
        return False
    return _has_ended(pid, started) and not _has_members(group, started)


def _is_pid(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _space() -> str | None:
    """Returns the namespaces of this process; None if its /proc shows those of another one."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None
        known = [name for name in _SPACES if os.path.lexists(f"/proc/self/ns/{name}")]
        return " ".join(os.readlink(f"/proc/self/ns/{name}") for name in known) or None
    except OSError:
        return None


def _has_ended(pid: int, started: int) -> bool:
    try:
        os.getpgid(pid)  # unlike /proc this never hides processes of other users
    except ProcessLookupError:
        return True
    except OSError:
        return False
    try:
        stat = _read_stat(pid)
    except OSError:
        return False
    return stat.dead or stat.started != started


def _has_members(group: int, since: int) -> bool:
    """Whether a group has processes that started then or later, except this one and its ancestors; True if in doubt."""
    try:
        os.getpriority(os.PRIO_PGRP, group)
        processes = _processes()
    except ProcessLookupError:
        return False
    except OSError:
        return True
    members = {
        pid for pid, stat in processes.items() if stat.group == group and stat.started >= since and not stat.dead
    }
    return bool(members - _with_ancestors(processes, os.getpid()))


def _with_ancestors(processes: Mapping[int, _ProcessStat], pid: int) -> set[int]:
    """Returns a process and its ancestors."""
    found = set()
    while pid in processes and pid not in found:
        found.add(pid)
        pid = processes[pid].parent
    return found


def _processes() -> dict[int, _ProcessStat]:
    """Reads all processes; PermissionError if those of other users are hidden."""
    found = {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        try:
            found[pid] = _read_stat(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended just now
    if _INIT not in found:
        raise PermissionError("processes of other users are hidden")
    return found


def _read_stat(pid: int) -> _ProcessStat:
    """Reads what the system says about a process; OSError if it is gone, or the system does not say."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return _ProcessStat(state in "ZX" and _is_alone(pid), int(rest[0]), int(rest[1]), int(rest[18]))
    except (ValueError, IndexError) as error:
        raise OSError(f"/proc/{pid}/stat has an unknown format") from error


def _is_alone(pid: int) -> bool:
    """Whether a process whose first thread has ended has no other threads."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return False
