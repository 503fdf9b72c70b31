"""Pure: what a manager says that it holds, so that its node notices what was lost on the way."""

from __future__ import annotations

from taskscheduler_daemon.messages import NO_WORKER, Flag
from taskscheduler_daemon.pool import Pool


def account(pool: Pool, now: float) -> list[tuple[bytes, int, bytes, float]]:
    """Each job, its attempt, the worker that runs it (or none) and for how many seconds.

    Notifications apart: their jobs have ended, and the node would have them killed.
    """
    held = [(entry.run, NO_WORKER, -1.0) for entry in pool.unassigned()]
    for member in pool.members.values():
        for place, run in enumerate(member.runs):
            held.append((run, member.id, now - member.since) if place == 0 else (run, NO_WORKER, -1.0))
        held += [(entry.run, member.id, now - entry.since) for entry in member.background.values()]
    return [(run.job_id, run.attempt, worker, seconds) for run, worker, seconds in held if not run.flags & Flag.HOOK]
