"""Imports job modules; tries in a child whether they may be preloaded."""

from __future__ import annotations

import importlib
import json
import os
import socket
import stat
import traceback
from collections.abc import Sequence

from taskscheduler.errors import InvalidJobError
from taskscheduler.model.exception_texts import message_of
from taskscheduler_daemon.system.exits import EXIT_OK
from taskscheduler_daemon.system.procfs import open_descriptors, thread_count
from taskscheduler_daemon.system.reap import wait_for
from taskscheduler_daemon.system.spawn import spawn


def import_modules(names: Sequence[str]) -> None:
    """Imports modules for the jobs that they register; InvalidJobError names the one that fails, and why."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            why = f"{type(error).__name__}: {message_of(error)}"
            raise InvalidJobError(f"cannot import the job module {name!r}: {why}") from error


def try_import(modules: Sequence[str]) -> bool:
    """Tells whether modules may be preloaded: imported in a child, they leave neither threads nor sockets.

    InvalidJobError if one cannot be imported.
    """
    if not modules:
        return True
    ours, theirs = socket.socketpair()

    def main() -> int:
        theirs.sendall(json.dumps(_examine(modules)).encode())
        return EXIT_OK

    pid = spawn(main, title="ts-preload", keep=[theirs.fileno()], die_with_parent=True)
    theirs.close()
    with ours:
        answer = b"".join(iter(lambda: ours.recv(65536), b""))
    ended = wait_for(pid)
    if not answer:
        raise InvalidJobError(f"importing {', '.join(modules)} ended the process: it {ended}")
    found = json.loads(answer)
    if found["error"]:
        raise InvalidJobError(found["error"])
    return bool(found["harmless"])


def _examine(modules: Sequence[str]) -> dict[str, object]:
    before = set(open_descriptors())
    try:
        import_modules(modules)
    except InvalidJobError as error:
        cause = error.__cause__
        where = traceback.extract_tb(cause.__traceback__)[-1] if cause is not None else None
        place = f" ({where.filename}:{where.lineno})" if where is not None and "importlib" not in where.filename else ""
        return {"error": f"{error}{place}", "harmless": False}
    except BaseException as error:
        why = f"{type(error).__name__}: {message_of(error)}"
        return {"error": f"importing {', '.join(modules)} raised {why}", "harmless": False}
    opened = set(open_descriptors()) - before
    return {"error": None, "harmless": thread_count() == 1 and not any(map(_is_socket, opened))}


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
