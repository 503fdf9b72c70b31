"""Builds the updates that end a job from outside its attempt; all are safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.control.keys import PARKED_FIELDS, blocks_sequence
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import membership_of
from taskscheduler.model.lifecycle import DEAD_LETTERS, Transition, Verdict, target
from taskscheduler.model.readable import fault_of_series
from taskscheduler.model.sound import sound
from taskscheduler.store.attempts.completion import AWAITS, Completion
from taskscheduler.store.attempts.ending import final_update, literal
from taskscheduler.store.attempts.of_flows import bad_effects, still_open
from taskscheduler.store.control_updates import release_on_end
from taskscheduler.store.fence import Fence


def fail_parent_update(parent: Mapping[str, Any], error: Mapping[str, Any], lease: float) -> list[Document]:
    """Fails a live parent without a retry because a child failed; the runs of its series go on."""
    return end_update(parent, Transition.FAIL_PARENT, error, lease)


def end_update(
    job: Mapping[str, Any],
    move: Transition,
    error: Mapping[str, Any] | None,
    lease: float,
    fingerprint: str | None = None,
) -> list[Document]:
    """Ends a live job by this move, whatever it does; the runs of its series go on."""
    is_sound = fault_of_series(job) is None
    interval = job["options"]["interval"] if is_sound else 0
    verdict = Verdict(move, plans_next=interval != 0)
    fence = Fence(job["_id"], job.get("claim", ""), job.get("attempt", 0))
    ended = final_update(
        Completion(
            fence,
            verdict,
            job.get("worker"),
            error=error,
            job=sound(job, "class", ""),
            fingerprint=fingerprint,
            interval=interval,
            interval_reference=job["options"]["interval_reference"] if is_sound else "end",
            series=(job["series"], job["seq"]) if is_sound and "series" in job else None,
            effects=(*(("next",) if verdict.plans_next else ()), "family", *_of_flow(job), "hook"),
            member=membership_of(job),
        )
    )
    # without `rearmed` this end is not taken for that of the last attempt, which listeners have heard of
    return [release_on_end(lease), *ended, {"$unset": [*PARKED_FIELDS, "rearmed", *_turn(job, move)]}]


def _of_flow(job: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the effect that a bad end of a job has on its flow, if it has one."""
    return () if membership_of(job) is None else ("flow",)


def _turn(job: Mapping[str, Any], move: Transition) -> list[str]:
    """Returns the field to remove from a job that ends by this move, so that others of its sequence pass it."""
    return [] if target(move) in DEAD_LETTERS and blocks_sequence(job) else ["turn"]


def cancel_update(lease: float, reason: str | None = None) -> list[Document]:
    """Cancels a live job; the places of a running job stay until its process is gone, see `release_on_end`."""
    values: Document = {"status": int(target(Transition.CANCEL))}
    if reason is not None:
        values["reason"] = reason
    return [
        release_on_end(lease),
        {
            "$set": {
                **literal(values),
                "pending": bad_effects("family", "hook"),
                "open": still_open(),
                "ended": "$$NOW",
            }
        },
        {"$unset": ["once", "turn", AWAITS, *PARKED_FIELDS]},
    ]
