"""Builds the completion of an ended attempt, and carries out what follows once it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from bson import ObjectId

from taskscheduler.model.lifecycle import LIVE, Ending, Status, Transition, Verdict
from taskscheduler.model.retries import Recurrence, verdict_after
from taskscheduler.model.services import restart_of, seconds_alive
from taskscheduler.store import Store
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.fence import Fence
from taskscheduler.store.outbox import FAMILY, HOOK, NEXT

_DONE = Verdict(Transition.SUCCEED)

_ENDED_AS = {Ending.SUCCEEDED: Status.DONE, Ending.TIMED_OUT: Status.TIMEOUT}


class AttemptEnd(NamedTuple):
    """How an attempt ended, as its worker, its node or another node reports it."""

    ending: Ending
    content: Mapping[str, Any]  #: result, error, said (the last progress) and hook, if known
    worker: str | None = None
    lasted: float = 0.0  #: seconds


def completion_of_lost(job: Mapping[str, Any], node: str, max_lost: int) -> Completion:
    """Returns what to write for an attempt whose node was lost, from the fields that `LeaseStore.jobs_of` reads."""
    error = {"type": "NodeLostError", "message": f"node {node} was lost while it ran the job"}
    fence = Fence(job["_id"], job["claim"], job["attempt"])
    return completion_of(fence, job, AttemptEnd(Ending.LOST, {"error": error}, lasted=seconds_alive(job)), max_lost)


def completion_of(fence: Fence, job: Mapping[str, Any], end: AttemptEnd, max_lost: int) -> Completion:
    """Returns what to write for an attempt at `job` that ended so.

    A job that has now lost `max_lost` workers or nodes fails with PoisonedJobError.
    """
    ending, content, worker, lasted = end
    options = job["options"]
    hook = _has_hook(job, ending, content)
    if ending is Ending.SUCCEEDED and not options["interval"] and not hook and "service" not in job:
        result, progress, keyed = content.get("result"), content.get("said", {}), "once" in job
        return Completion(
            fence, _DONE, worker, result=result, progress=progress, holds_once_key=keyed, solo=job.get("solo")
        )
    recurrence = Recurrence(
        options["retry"],
        options["retry_interval"],
        options["interval"],
        job.get("retries", 0),
        job.get("lost", 0),
        restart_of(job, lasted),
    )
    verdict = verdict_after(ending, recurrence, max_lost)
    return Completion(
        fence,
        verdict,
        worker if ending is not Ending.UNSTARTED else None,
        lost=ending is Ending.LOST,
        unstarted=ending is Ending.UNSTARTED,
        result=content.get("result"),
        error=_error(ending, verdict, content.get("error"), job.get("lost", 0) + 1),
        progress=content.get("said", {}),
        retry_interval=options["retry_interval"] if verdict.pause is None else verdict.pause,
        interval=options["interval"],
        interval_reference=options["interval_reference"],
        series=(job["series"], job["seq"]) if "series" in job else None,
        effects=_effects(verdict, hook),
        solo=job.get("solo"),
        ended_as=_ENDED_AS.get(ending, Status.FAILED),
    )


def _has_hook(job: Mapping[str, Any], ending: Ending, content: Mapping[str, Any]) -> bool:
    """Whether the job class has a `notification`, as the adder or the worker reported; True if neither knows."""
    if ending in (Ending.SUCCEEDED, Ending.FAILED):
        return bool(job.get("hook") or content.get("hook"))
    return bool(job.get("hook", True))


def _effects(verdict: Verdict, hook: bool) -> tuple[str, ...]:
    """Returns what the outbox delivers once the end is written."""
    if not verdict.status.is_final:
        return ()
    effects = [NEXT] if verdict.plans_next else []
    effects += [FAMILY] if verdict.status is not Status.DONE else []
    return (*effects, HOOK) if hook else tuple(effects)


def _error(ending: Ending, verdict: Verdict, error: Mapping[str, Any] | None, times: int) -> Mapping[str, Any] | None:
    if ending is Ending.RETURNED and verdict.status.is_final:
        return {"type": "NodeStoppedError", "message": "its node stopped while it ran, and it is not started again"}
    if verdict.move is not Transition.POISON or error is None:
        return error
    message = error["message"]
    if error.get("type") != "NodeLostError":
        message = f"its worker died {times} times; {message}"
    return {**error, "type": "PoisonedJobError", "message": message}


class HookCaller(Protocol):
    """Calls the notification hooks of ended jobs."""

    def call(self, job_id: ObjectId) -> None:
        """Calls the hook of a job, unless somebody else does."""
        ...


def follow_up(store: Store, completed: Sequence[Completion], node: str, hooks: HookCaller) -> None:
    """Logs the ends that were written, wakes nodes for jobs that wait again, and delivers what ended jobs caused."""
    ended = [(one, one.verdict.status) for one in completed]
    if ended:
        entries = [{"job": one.fence.job_id, "status": int(new), "attempt": one.fence.attempt} for one, new in ended]
        store.events.append(entries, node)
    rearmed = [one.fence.job_id for one, status in ended if status in LIVE]
    if rearmed:
        store.wakeups.jobs_rearmed(rearmed, (), forced=True)
    keys = {one.solo for one, status in ended if one.solo is not None and status is not Status.WAITING}
    if keys:
        store.solo_locks.admit_next(keys)
    for one, status in ended:
        if one.effects and status not in LIVE:
            store.outbox.deliver(one.fence.job_id)
            if HOOK in one.effects:
                hooks.call(one.fence.job_id)
