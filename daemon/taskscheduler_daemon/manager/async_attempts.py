"""The manager's part in async runs: ends single ones, and kills a worker whose event loop does not obey."""

from __future__ import annotations

from collections.abc import Callable

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Report, Run
from taskscheduler_daemon.manager.crash_report import late, obituary
from taskscheduler_daemon.manager.pool.worker_state import Doom, Member
from taskscheduler_daemon.system.exits import Exit

Tell = Callable[[Member, bytes], object]  #: send a message to a worker

Say = Callable[..., None]  #: report to the node how a run has ended, and that nothing is left of it


class AsyncRuns:
    """What happens to the async runs of all workers between their start and their end."""

    def __init__(self, tell: Tell, say: Say, left: Callable[[Run], None], grace: float) -> None:
        self._tell = tell
        self._say = say
        self._left = left
        self._grace = grace  #: seconds that a job gets to end after it was told to

    def end(self, member: Member, job_id: bytes, doom: Doom, now: float) -> None:
        """Have the worker end one job."""
        entry = member.background[job_id]
        if entry.doom is None:
            entry.doom, entry.kill_at = doom, now + self._grace
            member.alarm = min(member.alarm, entry.kill_at)
            self._tell(member, messages.interrupt(job_id, doom.status))

    def end_all(self, member: Member, doom: Doom, now: float) -> None:
        """Have the worker end all that it runs."""
        for job_id in list(member.background):
            self.end(member, job_id, doom, now)

    def alive(self, member: Member, job_id: bytes, now: float) -> None:
        """A run has given a sign of life."""
        if job_id in member.background:
            member.background[job_id].alive_at = now

    def keep_deadlines(self, member: Member, now: float) -> None:
        """End what has had its time; let a worker be killed that did not end what it was told to."""
        for job_id, entry in member.background.items():
            if now < entry.wants_at():
                continue
            if entry.doom is None:
                self.end(member, job_id, Doom.TIMED_OUT if now >= entry.times_out_at() else Doom.SILENT, now)
            else:
                member.sacrificed = member.leaving = True
                member.kill_at = entry.kill_at = now
                member.alarm = NEVER
                return
        member.alarm = min((entry.wants_at() for entry in member.background.values()), default=NEVER)

    def ended(self, member: Member, report: Report, message: bytes, push: Callable[[bytes], None]) -> bool:
        """Pass on the end of an async run, or what its interruption makes of it; False if this is none."""
        entry = member.background.get(report.job_id)
        if entry is None or entry.run.attempt != report.attempt:
            return False
        del member.background[report.job_id]
        if report.ending is not Ending.RETURNED or entry.doom is None:
            push(message)
            self._left(entry.run)
        elif entry.doom is Doom.CANCELED:
            self._left(entry.run)
        else:
            error = late(entry.run, entry.doom)
            content = {} if error is None else {"error": error}
            ending = Ending.RETURNED if error is None else Ending.TIMED_OUT
            self._say(ending, entry.run, member.id, report.seconds, **content)
        return True

    def bury(self, member: Member, ended: Exit, now: float) -> None:
        """Say what becomes of the runs that a worker took with it."""
        for entry in member.background.values():
            doom = entry.doom or (Doom.RETURNED if member.sacrificed else None)
            if doom is Doom.CANCELED:
                self._left(entry.run)
            else:
                ending, error = obituary(entry.run, doom, ended)
                self._say(ending, entry.run, member.id, now - entry.since, error=error)
        member.background.clear()
