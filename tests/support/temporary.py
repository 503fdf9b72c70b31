"""Where tests put their files: in one directory for a whole run, which ends with the run, also when tests failed.

Servers that live for many tests put their data there too, some gigabytes in all. Who wants to look at what is left of a
failed test names a directory with `--basetemp`; that one stays.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

_MADE: pytest.StashKey[Path] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the directory of a run, of which each process of xdist gets a part."""
    if config.option.basetemp is None:
        config.stash[_MADE] = Path(tempfile.mkdtemp(prefix="taskscheduler-tests-"))
        config.option.basetemp = str(config.stash[_MADE])


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it when all processes of the run have ended."""
    if (made := config.stash.get(_MADE, None)) is not None:
        shutil.rmtree(made, ignore_errors=True)
