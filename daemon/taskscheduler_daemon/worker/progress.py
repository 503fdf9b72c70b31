"""Pure: what a running job says of itself, as it is kept until it is sent."""

from __future__ import annotations

from typing import Any

import bson
from bson import ObjectId

from taskscheduler_daemon.ipc.messages import Run

_LONGEST_MESSAGE = 1000  #: characters


def merge_progress(said: dict[str, Any], progress: float | None, message: str | None) -> None:
    """Add to what a job has said before; None is nothing new."""
    if progress is not None:
        said["progress"] = progress
    if message is not None:
        said["message"] = message[:_LONGEST_MESSAGE].encode(errors="replace").decode()


def encode_progress(said: dict[str, Any], run: Run) -> bytes:
    """As it is sent: with the attempt that it is about, as a note in a slot may be older than the job that runs."""
    encoded: bytes = bson.encode({**said, "id": ObjectId(run.job_id), "attempt": run.attempt})
    return encoded
