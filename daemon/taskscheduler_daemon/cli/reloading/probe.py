"""Imports job modules in a process of its own, and says which files they need, and what is wrong with them.

`python -m taskscheduler_daemon.cli.reloading.probe PID DESCRIPTOR MODULE...` writes it there as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from taskscheduler.errors import InvalidJobError
from taskscheduler_daemon.cli.input.job_modules import look_here
from taskscheduler_daemon.cli.reloading.sources import expected_files, files_in, files_of
from taskscheduler_daemon.job_modules import import_modules
from taskscheduler_daemon.system.node_subprocess import die_with_parent


def main(arguments: Sequence[str]) -> int:
    """Writes what was found; returns the exit code."""
    parent, descriptor, *modules = arguments
    if not die_with_parent(int(parent)):
        return 1
    with os.fdopen(int(descriptor), "w") as output:
        json.dump(_examined(modules), output)
    return 0


def _examined(modules: Sequence[str]) -> dict[str, object]:
    look_here()
    wrong, files = "", set(expected_files(modules, Path.cwd()))
    try:
        import_modules(modules)
    except InvalidJobError as error:
        wrong = f"{error}{_place(error.__cause__)}"
        files |= {*files_in(error), *expected_files(_missing(error.__cause__), Path.cwd())}
    except BaseException as error:  # also SystemExit
        wrong = f"importing {', '.join(modules)} raised {type(error).__name__}: {error}"
        files |= {*files_in(error)}
    return {"wrong": wrong, "files": sorted(files | {*files_of(dict(sys.modules))})}


def _place(cause: BaseException | None) -> str:
    """Returns where the user's code has raised it; a syntax error says so itself."""
    if cause is None or isinstance(cause, SyntaxError):
        return ""
    frames, frame = [], cause.__traceback__
    while frame is not None:
        frames.append((frame.tb_frame.f_code.co_filename, frame.tb_lineno))
        frame = frame.tb_next
    own = [(file, line) for file, line in frames if file in {*files_in(cause)}]
    return f" ({own[-1][0]}:{own[-1][1]})" if own else ""


def _missing(cause: BaseException | None) -> list[str]:
    return [cause.name] if isinstance(cause, ModuleNotFoundError) and cause.name else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
