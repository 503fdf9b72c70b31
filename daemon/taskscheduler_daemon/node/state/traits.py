"""Traits: what a node asks of each job that it has claimed, found out once for all jobs that are alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.batches.options import batch_of
from taskscheduler.model.control.keys import is_controlled
from taskscheduler.model.losses import NODE, suspect_of
from taskscheduler.model.metrics.counts import Series, series_of
from taskscheduler_daemon.ipc.messages import Flag

_FORCED, _EXCLUSIVE, _PRIORITY = int(Flag.FORCED), int(Flag.EXCLUSIVE), int(Flag.PRIORITY)

#: fields of jobs after whose end something follows, or of which more is written than that they are done. What follows
#: in a flow is found out for many ends at once.
_SPECIAL = frozenset({"once", "series", "service", "suspect", "signalled", "batch"})


class Traits:
    """The traits of a job. Those of jobs that have a pattern in common with it are the same."""

    __slots__ = (
        "exclusive",
        "expires",
        "flags",
        "forced",
        "gathers",
        "is_plain",
        "is_watched",
        "name",
        "of_flow",
        "own_async",
        "priority",
        "series",
        "serves",
        "suspect",
        "timeout",
    )  # fmt: skip

    def __init__(self, job: Mapping[str, Any]) -> None:
        options, priority = job["options"], job.get("priority", 0)
        self.name = job.get("class")
        self.series: Series = series_of(job)  #: under which its attempts are counted
        self.suspect = suspect_of(job) if "suspect" in job else None
        self.forced = bool(options["force_spawn"]) or self.suspect is not None
        self.serves = "service" in job
        self.exclusive = is_controlled(job) or self.serves
        self.gathers = "batch" in job and not self.forced and batch_of(job) is not None
        self.of_flow = "flow" in job
        self.own_async = "async" in job  #: whether it is known to be async
        self.expires = "expires" in job
        self.timeout = options.get("timeout", 0)
        self.priority = priority if isinstance(priority, int) else 0
        own_worker = self.forced and (self.suspect != NODE or options["force_spawn"])
        self.flags = (
            (_FORCED if own_worker else 0) | (_EXCLUSIVE if self.exclusive else 0) | (_PRIORITY if self.priority else 0)
        )
        self.is_watched = "silence_timeout" in options or self.serves
        #: whether nothing follows once it has succeeded without a result but in its flow, and it runs in its own slot
        self.is_plain = not (
            self.exclusive or self.forced or job.get("hook") or options.get("interval") or not _SPECIAL.isdisjoint(job)
        )
