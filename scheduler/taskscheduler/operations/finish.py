"""Builds the completion of an ended attempt, and carries out what follows once it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from bson import ObjectId

from taskscheduler.calendars.stable import stable_number
from taskscheduler.model.attempts.cost import UNKNOWN, Cost
from taskscheduler.model.checks import CONSTANT, LONGEST_PAUSE
from taskscheduler.model.control.keys import blocks_sequence, keys_of
from taskscheduler.model.flows.membership import Membership, membership_of
from taskscheduler.model.lifecycle import LIVE, Ending, Status, Transition, Verdict
from taskscheduler.model.losses import (
    MOST_SIGNALS,
    NODE,
    NODE_LOST,
    WORKER,
    ending_of_lost,
    is_alone,
    is_in_part,
    mark_after,
)
from taskscheduler.model.metrics.counts import Sample, series_of
from taskscheduler.model.retries import FailedTry, Recurrence, verdict_after
from taskscheduler.model.services import restart_of, seconds_alive
from taskscheduler.model.sound import sound
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Again, Completion
from taskscheduler.store.attempts.quick_end import DONE, QuickEnd
from taskscheduler.store.fence import Fence
from taskscheduler.store.flows.effects import FlowEnd
from taskscheduler.store.flows.flow_node import NO_NODE, FlowNode
from taskscheduler.store.outbox import FAMILY, FLOW, HOOK, NEXT

# for the end of each attempt: as attributes of their class each takes a tenth of a microsecond, as long as a call
_SUCCEEDED, _FAILED, _RETURNED = Ending.SUCCEEDED, Ending.FAILED, Ending.RETURNED

_ENDED_AS = {Ending.SUCCEEDED: Status.DONE, Ending.TIMED_OUT: Status.TIMEOUT}


class AttemptEnd(NamedTuple):
    """How an attempt ended, as its worker, its node or another node reports it."""

    ending: Ending
    content: Mapping[str, Any]  #: result, error, fingerprint, said (the last progress), hook and so on, if known
    worker: str | None = None
    lasted: float = 0.0  #: seconds
    died: str = WORKER  #: what died with it, if it was lost
    cleared: bool = False  #: it is no suspect any more
    ended: float = 0.0  #: when, a unix time by the server's clock; 0.0 if that is not known
    cost: Cost = UNKNOWN


def completions_of_lost(jobs: Sequence[Mapping[str, Any]], node: str, max_lost: int) -> list[Completion]:
    """Returns what to write for all attempts that a lost node held, from the fields that `LeaseStore.jobs_of` reads.

    Which of them had begun is known of a suspect that ran alone, and of the only one if a worker was noted for it.
    """
    alone = [job for job in jobs if is_alone(job)]
    known = alone or [job for job in jobs if len(jobs) == 1 and job.get("worker") is not None]
    begun = {id(job) for job in known or jobs}
    # a single one that may not have begun is a suspect: the node notes when it begins the next time
    together = max(len(known), 2 if not known or any(map(is_in_part, known)) else 1)
    endings = [ending_of_lost(id(job) in begun, together) for job in jobs]
    return [_completion_of_lost(job, node, ending, max_lost) for job, ending in zip(jobs, endings, strict=True)]


def _completion_of_lost(job: Mapping[str, Any], node: str, ending: Ending, max_lost: int) -> Completion:
    message = f"node {node} was lost while it ran the job"
    if ending is Ending.SUSPECTED and "service" not in job:
        message += "; it may not be the cause, so it runs alone next"
    content: dict[str, Any] = {"error": {"type": NODE_LOST, "message": message}}
    if ending is Ending.RETURNED:
        content = {"reason": f"node {node} was lost before it began the job", "begun": False}
    fence = Fence(job["_id"], job["claim"], job["attempt"])
    end = AttemptEnd(ending, content, lasted=seconds_alive(job), died=NODE)
    completion = completion_of(fence, job, end, max_lost)
    completion.sample = Sample(series_of(job), ending)
    return completion


def completion_of(fence: Fence, job: Mapping[str, Any], end: AttemptEnd, max_lost: int) -> Completion:
    """Returns what to write for an attempt at `job` that ended so.

    A job that has now lost `max_lost` workers or nodes fails with PoisonedJobError.
    """
    ending, content, worker, lasted, died, cleared, ended, cost = end
    signalled = ending is _RETURNED and bool(content.get("signalled"))
    if signalled and job.get("signalled", 0) >= MOST_SIGNALS:
        ending, content = Ending.LOST, {"error": {"type": "WorkerLostError", "message": content.get("reason")}}
    options, member = job["options"], membership_of(job)
    hook = _has_hook(job, ending, content)
    if ending is _SUCCEEDED and not options["interval"] and not hook and "service" not in job:
        result, progress, keyed = content.get("result"), content.get("said", {}), "once" in job
        completion = Completion(
            fence, DONE, worker, result=result, progress=progress, holds_once_key=keyed, keys=keys_of(job), cost=cost
        )
        completion.member = member
        if member is not None and member.feeds and result is not None:
            completion.effects = (FLOW,)
        completion.was_marked = fence.attempt > 1 and ("suspect" in job or "signalled" in job)
        return completion
    failure = FailedTry(
        content.get("final", ""), content.get("after"), _since_first_start(job, lasted, ended), _chance(fence, job)
    )
    verdict = verdict_after(ending, _recurrence(job, lasted), max_lost, failure)
    mark = None if cleared else mark_after(ending, job, died)
    return Completion(
        fence,
        verdict,
        worker if ending is not Ending.UNSTARTED else None,
        lost=ending is Ending.LOST,
        signalled=signalled,
        suspect=mark,
        was_marked="suspect" in job or "signalled" in job,
        unstarted=ending is Ending.UNSTARTED,
        result=content.get("result"),
        error=_error(ending, verdict, content.get("error"), job.get("lost", 0) + 1),
        reason=content.get("reason"),
        job=sound(job, "class", ""),
        fingerprint=content.get("fingerprint"),
        progress=content.get("said", {}),
        retry_interval=options["retry_interval"] if verdict.pause is None else verdict.pause,
        again=_again(job, content),
        interval=options["interval"],
        interval_reference=options["interval_reference"],
        series=(job["series"], job["seq"]) if "series" in job else None,
        effects=_effects(verdict, hook, member),
        member=member,
        keys=keys_of(job),
        keeps_turn=blocks_sequence(job),
        ended_as=_ENDED_AS.get(ending, Status.FAILED),
        cost=cost,
        died=content.get("died", {}),
    )


def _recurrence(job: Mapping[str, Any], lasted: float) -> Recurrence:
    options = job["options"]
    return Recurrence(
        options["retry"],
        options["retry_interval"],
        options["interval"],
        job.get("retries", 0),
        job.get("lost", 0),
        restart_of(job, lasted),
        options.get("backoff", CONSTANT),
        options.get("retry_interval_max", LONGEST_PAUSE),
        options.get("jitter", 0),
        options.get("retry_for", 0),
    )


def _since_first_start(job: Mapping[str, Any], lasted: float, ended: float) -> float:
    """Returns the seconds from the first start of a job to the end of an attempt that took so long."""
    first = job.get("first_started")
    return lasted if first is None or not ended else max(lasted, ended - first.timestamp())


def _chance(fence: Fence, job: Mapping[str, Any]) -> float:
    """Returns a number from 0 to 1, the same for whoever writes the end of this attempt; 0 for a job without jitter."""
    return stable_number(2**32, fence.job_id, fence.attempt) / 2**32 if "jitter" in job["options"] else 0.0


def _again(job: Mapping[str, Any], content: Mapping[str, Any]) -> Again | None:
    retry_for, until, awaits = job["options"].get("retry_for", 0), content.get("until"), content.get("awaits")
    if not retry_for and until is None and awaits is None and "expires" not in job and "first_started" not in job:
        return None
    return Again(until, content.get("begun", True), retry_for, awaits)


def _has_hook(job: Mapping[str, Any], ending: Ending, content: Mapping[str, Any]) -> bool:
    """Whether the job class has a `notification`, as the adder or the worker reported; True if neither knows."""
    if ending is _SUCCEEDED or ending is _FAILED:
        return bool(job.get("hook") or content.get("hook"))
    return bool(job.get("hook", True))


def _effects(verdict: Verdict, hook: bool, member: Membership | None) -> tuple[str, ...]:
    """Returns what the outbox delivers once the end is written."""
    if not verdict.status.is_final:
        return ()
    effects = [NEXT] if verdict.plans_next else []
    effects += [FAMILY] if verdict.status is not Status.DONE else []
    effects += [FLOW] if member is not None and (member.feeds or verdict.status is not Status.DONE) else []
    return (*effects, HOOK) if hook else tuple(effects)


def _error(ending: Ending, verdict: Verdict, error: Mapping[str, Any] | None, times: int) -> Mapping[str, Any] | None:
    if ending is Ending.RETURNED and verdict.status.is_final:
        return {"type": "NodeStoppedError", "message": "its node stopped while it ran, and it is not started again"}
    if error is not None and verdict.given_up:
        return {**error, "no_retry": verdict.given_up}
    if verdict.move is not Transition.POISON or error is None:
        return error
    message = error["message"]
    if error.get("type") != NODE_LOST:
        message = f"its worker died {times} times; {message}"
    return {**error, "type": "PoisonedJobError", "message": message}


def break_off_commits(store: Store, ends: Sequence[Completion]) -> None:
    """Ends the sessions of workers that died while they committed, before the ends of their attempts are written."""
    cut_short = [one.fence.job_id for one in ends if _is_cut_short(one)]
    if cut_short:
        store.commits.break_off(cut_short)


def _is_cut_short(end: Completion) -> bool:
    killed = end.lost or end.ended_as is Status.TIMEOUT or end.verdict.move is Transition.RELEASE
    return killed and not end.unstarted


class HookCaller(Protocol):
    """Calls the notification hooks of ended jobs."""

    def call(self, job_id: ObjectId) -> None:
        """Calls the hook of a job, unless somebody else does."""
        ...


def follow_up(
    store: Store,
    completed: Sequence[Completion],
    node: str,
    hooks: HookCaller,
    flow_node: FlowNode = NO_NODE,
    quick: Sequence[QuickEnd] = (),
) -> None:
    """Logs the ends that were written, wakes nodes for jobs that wait again, and delivers what ended jobs caused.

    First the jobs that come after others: with each layer of a flow, its nodes wait for that.
    """
    ended = [(one, one.verdict.status) for one in completed]
    of_flows = [FlowEnd(one.fence.job_id, new, one.member) for one, new in ended if one.member and new not in LIVE]
    of_flows += [FlowEnd(one.fence.job_id, Status.DONE, one.member) for one in quick if one.member]
    if of_flows:
        store.outbox.end_in_flows(of_flows, flow_node)
    entries = [{"job": one.fence.job_id, "status": int(new), "attempt": one.fence.attempt} for one, new in ended]
    if entries or quick:
        store.events.append([*entries, *(one.event for one in quick)], node)
    rearmed = [one.fence.job_id for one, status in ended if status in LIVE]
    if rearmed:
        store.wakeups.jobs_rearmed(rearmed, (), forced=True)
    if keys := {key for one, status in ended if one.keys and status is not Status.WAITING for key in one.keys}:
        store.admission.room_made(keys)
    for one, status in ended:
        if one.effects and one.effects != (FLOW,) and status not in LIVE:
            store.outbox.deliver(one.fence.job_id)
            if HOOK in one.effects:
                hooks.call(one.fence.job_id)
