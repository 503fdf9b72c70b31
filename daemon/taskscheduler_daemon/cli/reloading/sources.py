"""Finds the files of the job modules, and of all modules of the user that they import."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

_INSTALLED = {"site-packages", "dist-packages"}

_OURS = ("taskscheduler", "taskscheduler_daemon")


def files_of(modules: Mapping[str, ModuleType | None]) -> Iterator[str]:
    """Yields the source files of loaded modules, but not of those that were installed or belong to Python."""
    for name, module in modules.items():
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and name.partition(".")[0] not in _OURS and is_own(file):
            yield file


def files_in(error: BaseException) -> Iterator[str]:
    """Yields the user's files in which an import has failed, the one of a syntax error among them."""
    one: BaseException | None = error
    while one is not None:
        found = [frame.filename for frame in traceback.extract_tb(one.__traceback__)]
        if isinstance(one, SyntaxError) and one.filename:
            found.append(one.filename)
        yield from (file for file in found if file.endswith(".py") and is_own(file))
        one = one.__cause__


def expected_files(modules: Iterable[str], folder: Path) -> Iterator[str]:
    """Yields where modules of these names would be in a folder: they may be missing still."""
    for name in modules:
        path = folder.joinpath(*name.split("."))
        yield str(path.with_suffix(".py"))
        yield str(path / "__init__.py")


def is_own(file: str) -> bool:
    """Returns whether a file is the user's: neither installed, nor of Python, nor of taskscheduler itself."""
    path = Path(file)
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    ours = {str(Path(found).parent) for name in _OURS if (found := getattr(sys.modules.get(name), "__file__", None))}
    return _INSTALLED.isdisjoint(path.parts) and not any(path.is_relative_to(root) for root in standard | ours)
