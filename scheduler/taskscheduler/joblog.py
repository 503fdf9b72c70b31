"""Loggers whose records say which job they come from."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from bson import ObjectId


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs for one attempt: every record carries `job` (the id as text), `job_name` and `attempt`."""

    def __init__(self, logger: logging.Logger, job_id: ObjectId, name: str, attempt: int) -> None:
        super().__init__(logger, {"job": str(job_id), "job_name": name, "attempt": attempt})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Keep what the caller gives as `extra`, which the adapters of Python before 3.13 throw away."""
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}
