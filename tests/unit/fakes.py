"""A scheduler in memory for calls, whose jobs end as soon as somebody waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription


class FakeScheduler:
    """Notes the jobs that are added; each ends with its data as the result, or FAILED if they are `"bad"`."""

    def __init__(self) -> None:
        self.added: list[tuple[Any, Any, dict[str, Any]]] = []

    def add_job(
        self,
        job: Any,
        data: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        session: Any = None,
        **given: Any,
    ) -> Process:
        self.added.append((job, data, {**(options or {}), **given}))
        document = {"_id": ObjectId(), "class": str(job), "data": data, "status": int(Status.WAITING)}
        return Process(cast(Any, self), document)

    def add_jobs(self, jobs: Iterable[Any]) -> list[Process]:
        return [self.add_job(*(entry if isinstance(entry, tuple) else (entry,))) for entry in jobs]

    def wait_for(self, processes: list[Process], throw: bool = False, timeout: Any = None) -> list[Process]:
        for process in processes:
            process.replace(ended(process.to_dict()))
            if throw:
                process.raise_for_status()
        return processes

    @property
    def completions(self) -> CompletionWatcher:
        return cast(CompletionWatcher, _Watcher())


class _Watcher:
    def subscribe(self, subscription: Subscription, known: Mapping[ObjectId, Status]) -> None:
        for job_id in known:
            subscription.subscriber.completed(job_id, ended({"_id": job_id}))

    def unsubscribe(self, subscription: Subscription) -> None: ...


def ended(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document of a job that has ended."""
    bad = document.get("data") == "bad"
    return {**document, "status": int(Status.FAILED if bad else Status.DONE), "result": document.get("data")}
