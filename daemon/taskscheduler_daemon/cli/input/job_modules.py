"""Decides how the modules of --jobs are imported into the command itself, and which jobs they bring."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from taskscheduler.declarations.catalog import Entry, catalog
from taskscheduler_daemon.job_modules import import_modules

_BUILT_IN = "taskscheduler."


def registered(jobs: Sequence[str]) -> list[Entry]:
    """Import the modules, also from the current directory; the jobs that there are, but for built-in ones.

    Each text may name several modules: a,b. InvalidJobError if one cannot be imported.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    import_modules([part for item in jobs for part in item.split(",") if part])
    return [entry for entry in catalog() if not entry.name.startswith(_BUILT_IN)]
