"""The manager's part in async runs: ends single ones, and kills a worker whose event loop does not obey."""

from __future__ import annotations

from collections.abc import Callable

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Report, Run
from taskscheduler_daemon.manager.crash_report import crash_report, timeout_error
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.system.exits import ChildExit

Tell = Callable[[WorkerState, bytes], object]  #: send a message to a worker

Say = Callable[..., None]  #: report to the node how a run has ended, and that nothing is left of it


class AsyncAttempts:
    """What happens to the async runs of all workers between their start and their end."""

    def __init__(self, tell: Tell, say: Say, left: Callable[[Run], None], grace: float) -> None:
        self._tell = tell
        self._say = say
        self._left = left
        self._grace = grace  #: seconds that a job gets to end after it was told to

    def end(self, member: WorkerState, job_id: bytes, doom: KillReason, now: float) -> None:
        """Have the worker end one job."""
        entry = member.async_runs[job_id]
        if entry.kill_reason is None:
            entry.kill_reason, entry.kill_at = doom, now + self._grace
            member.alarm = min(member.alarm, entry.kill_at)
            self._tell(member, messages.interrupt(job_id, doom.status))

    def end_all(self, member: WorkerState, doom: KillReason, now: float) -> None:
        """Have the worker end all that it runs."""
        for job_id in list(member.async_runs):
            self.end(member, job_id, doom, now)

    def alive(self, member: WorkerState, job_id: bytes, now: float) -> None:
        """A run has given a sign of life."""
        if job_id in member.async_runs:
            member.async_runs[job_id].alive_at = now

    def enforce_deadlines(self, member: WorkerState, now: float) -> None:
        """End what has had its time; let a worker be killed that did not end what it was told to."""
        for job_id, entry in member.async_runs.items():
            if now < entry.wants_at():
                continue
            if entry.kill_reason is None:
                self.end(
                    member, job_id, KillReason.TIMED_OUT if now >= entry.times_out_at() else KillReason.SILENT, now
                )
            else:
                member.killed_for_another = member.leaving = True
                member.kill_at = entry.kill_at = now
                member.alarm = NEVER
                return
        member.alarm = min((entry.wants_at() for entry in member.async_runs.values()), default=NEVER)

    def ended(self, member: WorkerState, report: Report, message: bytes, push: Callable[[bytes], None]) -> bool:
        """Pass on the end of an async run, or what its interruption makes of it; False if this is none."""
        entry = member.async_runs.get(report.job_id)
        if entry is None or entry.run.attempt != report.attempt:
            return False
        del member.async_runs[report.job_id]
        if report.ending is not Ending.RETURNED or entry.kill_reason is None:
            push(message)
            self._left(entry.run)
        elif entry.kill_reason is KillReason.CANCELED:
            self._left(entry.run)
        else:
            error = timeout_error(entry.run, entry.kill_reason)
            content = {} if error is None else {"error": error}
            ending = Ending.RETURNED if error is None else Ending.TIMED_OUT
            self._say(ending, entry.run, member.id, report.seconds, **content)
        return True

    def report_crash(self, member: WorkerState, ended: ChildExit, now: float) -> None:
        """Say what becomes of the runs that a worker took with it."""
        for entry in member.async_runs.values():
            doom = entry.kill_reason or (KillReason.RETURNED if member.killed_for_another else None)
            if doom is KillReason.CANCELED:
                self._left(entry.run)
            else:
                ending, error = crash_report(entry.run, doom, ended)
                self._say(ending, entry.run, member.id, now - entry.since, error=error)
        member.async_runs.clear()
