"""What a manager does with the workers that it has: hands them runs, takes runs back, lets them go."""

from __future__ import annotations

from taskscheduler_daemon.manager.pool.assignment import Assignments, assignments, victim
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import Member
from taskscheduler_daemon.manager.worker_handle import Hands


class Crew:
    """The workers of a pool and what is held of each; they are started and buried by WorkerProcesses."""

    def __init__(self, pool: Pool) -> None:
        self.hands: dict[int, Hands] = {}  #: by pid
        self._pool = pool

    def assign(self, now: float) -> None:
        """Hand out what waits, as far as workers have room."""
        for kind in assignments(self._pool):
            self._hand_out(kind, now)
        loaded = victim(self._pool)
        if loaded is not None:
            self.take_back(loaded, now)
            if self._pool.waiting:
                self.assign(now)

    def _hand_out(self, kind: Assignments, now: float) -> None:
        for member, run in kind:
            if not self.hands[member.pid].give(run):
                self._pool.put_back([run], now)
                return
            self._pool.began(member, run, now)

    def take_back(self, member: Member, now: float, dead: bool = False) -> None:
        """Take from a worker what it was handed and has not begun; an event loop begins everything at once."""
        if member.background and not dead:
            return
        runs = self.hands[member.pid].take_back()
        if runs:
            self._pool.taken_back(member, runs, now)

    def leave(self, member: Member) -> None:
        """Give a worker no more jobs; one that has none ends now."""
        member.leaving = True
        if not member.runs and not member.background and member.doom is None:
            self.hands[member.pid].let_go()

    def retire(self, member: Member, now: float) -> None:
        """Let a worker end after the job that it runs; others make what it was given ahead."""
        self.take_back(member, now)
        self.leave(member)

    def recycle(self) -> None:
        """Let all workers end, each after its jobs."""
        for member in list(self._pool.members.values()):
            self.leave(member)

    def tell(self, member: Member, message: bytes) -> None:
        """Send a worker something that is no run."""
        self.hands[member.pid].tell(message)
