"""The progress of a running job on its way to the manager: the latest values, merged and encoded."""

from __future__ import annotations

from typing import Any

import bson
from bson import ObjectId

from taskscheduler_daemon.ipc.messages import Run

_LONGEST_MESSAGE = 1000  #: characters


def merge_progress(latest: dict[str, Any], progress: float | None, message: str | None) -> None:
    """Merges new values into the latest ones; None changes nothing. Long messages are cut."""
    if progress is not None:
        latest["progress"] = progress
    if message is not None:
        latest["message"] = message[:_LONGEST_MESSAGE].encode(errors="replace").decode()


def encode_progress(latest: dict[str, Any], run: Run) -> bytes:
    """Encodes progress with its attempt, as a note in the page may be older than the job that runs now."""
    encoded: bytes = bson.encode({**latest, "id": ObjectId(run.job_id), "attempt": run.attempt})
    return encoded
