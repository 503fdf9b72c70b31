"""Imports job modules; tries in a child whether they may be preloaded."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import stat
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

import bson

from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.declarations.schedules import SCHEDULES, DeclaredSchedule
from taskscheduler.errors import InvalidJobError
from taskscheduler.model.exception_texts import message_of
from taskscheduler.model.payload import CODEC
from taskscheduler_daemon.system.exits import EXIT_OK
from taskscheduler_daemon.system.procfs import open_descriptors, thread_count
from taskscheduler_daemon.system.reap import wait_for
from taskscheduler_daemon.system.spawn import spawn

logger = logging.getLogger(__name__)


def import_modules(names: Sequence[str]) -> None:
    """Imports modules for the jobs that they register; InvalidJobError names the one that fails, and why."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            why = f"{type(error).__name__}: {message_of(error)}"
            raise InvalidJobError(f"cannot import the job module {name!r}: {why}") from error


class TriedImport(NamedTuple):
    """What the import of job modules in a child has shown."""

    harmless: bool  #: they may be preloaded: they leave neither threads nor sockets
    names: tuple[str, ...]  #: the jobs that are registered then
    schedules: tuple[DeclaredSchedule, ...] = ()  #: that are declared then
    version: str = ""  #: of the distribution that they belong to; empty if they belong to none


def try_import(modules: Sequence[str]) -> TriedImport:
    """Imports modules in a child, to know what comes of it; InvalidJobError if one cannot be imported."""
    if not modules:
        return TriedImport(True, tuple(REGISTRY.names()), SCHEDULES.all())
    ours, theirs = socket.socketpair()

    def main() -> int:
        theirs.sendall(bson.encode(_examine(modules), codec_options=CODEC))
        return EXIT_OK

    pid = spawn(main, title="ts-preload", keep=[theirs.fileno()], die_with_parent=True)
    theirs.close()
    with ours:
        answer = b"".join(iter(lambda: ours.recv(65536), b""))
    ended = wait_for(pid)
    if not answer:
        raise InvalidJobError(f"importing {', '.join(modules)} ended the process: it {ended}")
    found = bson.decode(answer, codec_options=CODEC)
    if found["error"]:
        raise InvalidJobError(found["error"])
    schedules = tuple(DeclaredSchedule(**one) for one in found["schedules"])
    return TriedImport(found["harmless"], tuple(found["names"]), schedules, found["version"])


def _examine(modules: Sequence[str]) -> dict[str, object]:
    before = set(open_descriptors())
    try:
        import_modules(modules)
    except InvalidJobError as error:
        cause = error.__cause__
        where = traceback.extract_tb(cause.__traceback__)[-1] if cause is not None else None
        place = f" ({where.filename}:{where.lineno})" if where is not None and "importlib" not in where.filename else ""
        return {"error": f"{error}{place}"}
    except BaseException as error:
        why = f"{type(error).__name__}: {message_of(error)}"
        return {"error": f"importing {', '.join(modules)} raised {why}"}
    opened = set(open_descriptors()) - before
    harmless = thread_count() == 1 and not any(map(_is_socket, opened))
    schedules = [one._asdict() for one in SCHEDULES.all()]
    facts = {"names": REGISTRY.names(), "schedules": schedules, "version": _version(modules)}
    return {"error": None, "harmless": harmless, **facts}


def _version(modules: Sequence[str]) -> str:
    """Returns the version of the first distribution that has installed one of these modules; empty if none has.

    A distribution that cannot be read counts as none: the version is for people alone.
    """
    for top in dict.fromkeys(name.partition(".")[0] for name in modules):
        try:
            for folder in _folders(top):
                for found in metadata.distributions(path=[folder]):
                    if _has_installed(found, top):
                        return str(found.version or "")
        except Exception as error:
            logger.info("version not found", extra={"job_module": top, "reason": f"{type(error).__name__}: {error}"})
    return ""


def _folders(top: str) -> list[str]:
    """Returns where a module or package of this name has been found."""
    module = sys.modules[top]
    places = [*getattr(module, "__path__", ())] or [getattr(module, "__file__", None)]
    return [os.path.dirname(os.path.abspath(place)) for place in places if place]


def _has_installed(distribution: metadata.Distribution, top: str) -> bool:
    if top in (distribution.read_text("top_level.txt") or "").split():
        return True
    return any(file.parts[0] in (top, f"{top}.py") for file in distribution.files or ())


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
