"""The command `taskscheduler`: checks what is installed, prepares the standard streams and runs the command line."""

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
    """Runs the command line; returns the exit code, as `exit_codes.ExitCode` lists them."""
    _open_closed_streams()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        sys.stderr.write(f"taskscheduler needs {names}; run: pip install 'mongo-taskscheduler[cli]'\n")
        return _USAGE
    for stream in (sys.stdout, sys.stderr):
        # job data may hold characters that the terminal's encoding lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # imported late, as the module itself needs click
        code: int = importlib.import_module("taskscheduler_daemon.cli.group").run(arguments)
        return code
    except KeyboardInterrupt:
        return _INTERRUPTED


def _open_closed_streams() -> None:
    """Opens closed standard streams, so that no database connection gets the descriptor of one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 - for the whole run
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
