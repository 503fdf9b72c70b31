"""Tells which program a process is, so exactly that another one which got its pid later is not taken for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_SPACES = ("pid", "time")  #: the namespaces that pids and start times are counted in

_INIT = 1


class _Seen(NamedTuple):
    """A process as the system tells of it."""

    dead: bool  #: it has ended, and waits for somebody to ask how
    parent: int
    group: int
    started: int


def started_at(pid: int) -> int | None:
    """When a process was started, in ticks since the system was; None if it is gone, or this system does not tell."""
    try:
        seen = _look(pid)
    except OSError:
        return None
    return None if seen.dead else seen.started


def boot_id() -> str | None:
    """What names this start of the host's kernel; None if this system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def identify_self() -> dict[str, Any]:
    """This process as it is stored: host, pid, when it started, and what that was counted from and in.

    `group` is the process group that has to be gone, too, before the program counts as gone.
    """
    pid = os.getpid()
    counted = {"boot": boot_id(), "space": _space()}
    return {"host": this_host(), "pid": pid, "started": started_at(pid), **counted, "group": os.getpgrp()}


def this_host() -> str:
    """The name of this host."""
    return os.uname().nodename


def is_local(program: Mapping[str, Any]) -> bool:
    """Whether a stored pid means the same here: this host, this start of its kernel, the same pid namespace."""
    here = (this_host(), boot_id(), _space())
    return None not in here and (program.get("host"), program.get("boot"), program.get("space")) == here


def is_gone(program: Mapping[str, Any]) -> bool:
    """Whether nothing is left of a program of this host, nor of what it has started in its group; False if in doubt."""
    started, group = program.get("started"), program.get("group")
    if started is None or group is None or not is_local(program):
        return False
    return _has_ended(program["pid"], started) and not _has_members(group, started)


def _space() -> str | None:
    """The namespaces in which this process counts; None if they are not those of its /proc."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None
        known = [name for name in _SPACES if os.path.lexists(f"/proc/self/ns/{name}")]
        return " ".join(os.readlink(f"/proc/self/ns/{name}") for name in known) or None
    except OSError:
        return None


def _has_ended(pid: int, started: int) -> bool:
    try:
        os.getpgid(pid)  # unlike /proc it never hides the processes of others
    except ProcessLookupError:
        return True
    except OSError:
        return False
    try:
        seen = _look(pid)
    except OSError:
        return False
    return seen.dead or seen.started != started


def _has_members(group: int, since: int) -> bool:
    """Whether a group has processes that began then or later, but for this one and those above it; True if in doubt."""
    try:
        os.getpriority(os.PRIO_PGRP, group)
        seen = _processes()
    except ProcessLookupError:
        return False
    except OSError:
        return True
    above = _line(seen, os.getpid())
    members = {pid for pid, one in seen.items() if one.group == group and one.started >= since and not one.dead}
    return bool(members - above)


def _line(seen: Mapping[int, _Seen], pid: int) -> set[int]:
    """A process and those above it."""
    line = set()
    while pid in seen and pid not in line:
        line.add(pid)
        pid = seen[pid].parent
    return line


def _processes() -> dict[int, _Seen]:
    """All processes; PermissionError if those of others are hidden from this one."""
    found = {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        try:
            found[pid] = _look(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended just now
    if _INIT not in found:
        raise PermissionError("not all processes are to be seen")
    return found


def _look(pid: int) -> _Seen:
    """What the system tells of a process. OSError if it is gone, or nothing is told."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return _Seen(state in "ZX" and _is_alone(pid), int(rest[0]), int(rest[1]), int(rest[18]))
    except (ValueError, IndexError) as error:
        raise OSError(f"/proc/{pid}/stat is not understood") from error


def _is_alone(pid: int) -> bool:
    """Whether the first thread of a process, which has ended, was the last one."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return False
