"""Writes command lines that a reader can paste into another terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from taskscheduler.connection import URI_VARIABLE
from taskscheduler.embedded import DATABASE_VARIABLE, STATE_VARIABLE
from taskscheduler_daemon.presentation.text import shown


def pasteable(arguments: Sequence[str], environment: Mapping[str, str], directory: Path | None = None) -> str:
    """Returns a line that runs this command in another terminal, whatever is set or active there."""
    line = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    line += [shlex.quote(_command()), *map(shlex.quote, arguments)]
    return (f"cd {shlex.quote(str(directory))} && " if directory else "") + " ".join(line)


def same_database(uri: str | None) -> dict[str, str]:
    """Returns the variables by which commands elsewhere find the same jobs; never one with a password in it.

    `uri` is the one that was given, if any. A URI with a password must be set there by its reader.
    """
    if uri is not None:
        return {URI_VARIABLE: uri} if shown(uri) == uri else {}
    return {name: value for name in (STATE_VARIABLE, DATABASE_VARIABLE) if (value := os.environ.get(name))}


def _command() -> str:
    """Returns the command by its path: the other terminal may not have its environment active."""
    beside = Path(sys.executable).with_name("taskscheduler")
    return str(beside) if beside.exists() else shutil.which("taskscheduler") or "taskscheduler"
