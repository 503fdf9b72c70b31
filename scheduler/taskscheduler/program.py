"""Tells which program a process is, so exactly that another one which got its pid later is not taken for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def started_at(pid: int) -> int | None:
    """When a process was started, in ticks since the system was; None if it is gone, or this system does not tell."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(rest[18])


def boot_id() -> str | None:
    """What names this start of the host's kernel; None if this system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def this_program() -> dict[str, Any]:
    """This process as it is stored: host, pid, when it started, and which start of the kernel that was counted from."""
    pid = os.getpid()
    return {"host": os.uname().nodename, "pid": pid, "started": started_at(pid), "boot": boot_id()}
