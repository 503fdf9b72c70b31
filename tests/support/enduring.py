"""Jobs that stay: in the memory of their worker, silent, or for ever."""

from __future__ import annotations

import os
from typing import Any

from taskscheduler import Job

kept: list[bytes] = []


class Keep(Job):
    """Keeps so many bytes for ever; gives its process."""

    name = "keep"

    def start(self) -> Any:
        kept.append(os.urandom(self.data))
        return os.getpid()
