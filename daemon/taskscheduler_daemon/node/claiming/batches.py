"""How many of the jobs that wait fit in so many runs, as some of them run in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.model.batches.options import batch_of


def runs_of(jobs: Sequence[Mapping[str, Any]], ids: Sequence[ObjectId], most: int) -> int:
    """Returns how many of these ids to claim, in their order, so that their jobs make no more than so many runs.

    A job by itself is a run, and so is each batch, full or not.
    """
    known = {job["_id"]: job for job in jobs}
    runs, gathered = 0, Counter[tuple[Any, ...]]()
    for number, job_id in enumerate(ids):
        job = known[job_id]
        batch = batch_of(job)
        place = (job.get("class"), job.get("queue"), None if batch is None else batch.size)
        if batch is None or gathered[place] % batch.size == 0:
            runs += 1
        if runs > most:
            return number
        gathered[place] += 1
    return len(ids)
