"""How one attempt of a job ended, as the job itself is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskscheduler.lifecycle import Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `tear_down` gets: how the attempt ended that it cleans up after."""

    status: Status  #: DONE, FAILED, CANCELED, TIMEOUT, or WAITING: handed back to run again elsewhere
    result: Any = None  #: what `start` returned
    error: Mapping[str, Any] | None = None  #: type, message and traceback of a failure, as in `process.error`
