"""Imports the modules of --jobs into the command itself, and lists the jobs that they register."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from taskscheduler.declarations.catalog import Entry, catalog
from taskscheduler_daemon.job_modules import import_modules

_BUILT_IN = "taskscheduler."


def look_here() -> None:
    """Lets modules be imported from the current directory, where users keep those that --jobs names."""
    try:
        here = os.getcwd()
    except OSError:
        return  # it was removed; the modules may be installed
    if here not in sys.path:
        sys.path.insert(0, here)


def registered_jobs(modules: Sequence[str]) -> list[Entry]:
    """Imports the modules, also from the current directory; returns all registered jobs but the built-in ones.

    Each text may name several modules: a,b. Raises InvalidJobError if one cannot be imported.
    """
    look_here()
    import_modules([part for item in modules for part in item.split(",") if part])
    return [entry for entry in catalog() if not entry.name.startswith(_BUILT_IN)]
