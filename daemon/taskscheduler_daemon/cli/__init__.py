"""Decides how the command `taskscheduler` starts: with what is installed, and with streams that can print anything."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

_NEEDED = ("click", "rich")
_USAGE = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. See `exits.Exit` for what it says."""
    _open_closed_streams()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        what = " and ".join(missing)
        sys.stderr.write(f"taskscheduler: {what} missing; install with: pip install 'mongo-taskscheduler[cli]'\n")
        return _USAGE
    for stream in (sys.stdout, sys.stderr):
        # job data may hold characters that the terminal's encoding lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # only now: without click the module could not even be imported
        code: int = importlib.import_module("taskscheduler_daemon.cli.group").run(arguments)
        return code
    except KeyboardInterrupt:
        return _INTERRUPTED


def _open_closed_streams() -> None:
    """Nothing may take the place of a standard stream that was closed: a connection to the database, for example."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 - for the whole run
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
