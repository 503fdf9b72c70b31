"""Ends jobs whose time is over, and the workers that run them."""

from __future__ import annotations

import signal

from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.kill import kill, kill_tree, signal_group

_UNTIL_REAPED = 1.0  #: seconds after which a killed worker that is still there is killed again


class Timeouts:
    """Keeps the deadlines of running jobs, and those of workers that have to end."""

    def __init__(
        self, pool: Pool, crew: Assigner, mail: WorkerMessages, async_runs: AsyncAttempts, kill_grace: float
    ) -> None:
        self._pool = pool
        self._crew = crew
        self._mail = mail
        self._async = async_runs
        self._kill_grace = kill_grace

    def enforce(self, now: float) -> None:
        """Do to each worker what it is time for."""
        for member in list(self._pool.workers.values()):
            if now >= member.interrupt_at:
                member.interrupt_sent(now)
                signal_group(member.pid, signal.SIGTERM)
            elif now >= member.kill_at:
                kill_tree(member.pid)
                member.kill_at = now + _UNTIL_REAPED
            elif now >= member.times_out_at():
                self.terminate(member, KillReason.TIMED_OUT, now)
            elif now >= member.silent_at():
                self._check_silence(member, now)
            if now >= member.alarm:
                self._async.enforce_deadlines(member, now)

    def _check_silence(self, member: WorkerState, now: float) -> None:
        """A job may have given signs of life since the last look: they are left where they cost nothing."""
        member.alive_at = self._crew.handles[member.pid].page.touched()
        if now >= member.silent_at():
            self.terminate(member, KillReason.SILENT, now)

    def terminate(self, member: WorkerState, doom: KillReason, now: float) -> None:
        """End what a worker runs, and the worker with it: SIGTERM now, SIGKILL after the grace time.

        A service that is stopped is asked to end first, and has the time that it was promised. Of async jobs each is
        ended alone, and the worker stays.
        """
        if member.async_runs:
            self._async.end_all(member, doom, now)
            return
        run = member.running
        self._crew.recall(member, now)
        self._mail.read(member)  # the end of the job may have been on its way
        if member.running is not run or member.kill_reason is not None:
            return
        member.kill_reason = doom
        self._crew.handles[member.pid].page.kill_status = doom.status
        if run is not None and member.serves and doom in (KillReason.CANCELED, KillReason.RETURNED):
            member.stop_requested(run, now)
            kill(member.pid, signal.SIGTERM)
            return
        member.kill_at = now + self._kill_grace
        signal_group(member.pid, signal.SIGTERM)

    def terminate_all(self, now: float) -> None:
        """End everything, as the node has to: whatever services were promised, the grace time is all they have."""
        for member in list(self._pool.workers.values()):
            self.terminate(member, KillReason.RETURNED, now)
            if member.serves:
                member.shorten_to(now, self._kill_grace)
