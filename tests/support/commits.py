"""Jobs that commit: what they write, into the collection `effects`, and their end are one transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

from taskscheduler import Job, Outcome, Process, Status
from tests.faults.steps import crashing
from tests.support.jobs import trace

_BEAT = 0.01


def _act(job: Job, where: str) -> None:
    """What the data say that shall happen here: `{"in": "raise"}` and so on, in the first attempt only."""
    what = job.data.get(where, "") if job.attempt == 1 or job.data.get("always") else ""
    trace(job.data.get("trace", os.devnull), where, job.id, job.attempt, os.getpid())
    if what == "raise":
        raise RuntimeError(f"{where} the block")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "progress":
        job.update_progress(50, "in the block")
    if what == "wait":
        while not Path(job.data["until"]).exists():
            threading.Event().wait(_BEAT)


class Pays(Job):
    """Writes one effect in its transaction."""

    name = "pays"

    def start(self) -> str:
        _act(self, "before")
        with self.commit(result="paid") as session:
            self.database.effects.insert_one({"job": self.id, "attempt": self.attempt}, session=session)
            _act(self, "in")
        _act(self, "after")
        if self.data.get("after") == "again":
            with self.commit():
                pass
        return "something else"

    def tear_down(self, outcome: Outcome) -> None:
        trace(self.data.get("trace", os.devnull), "outcome", outcome.status.label)


class PaysAsync(Job):
    """The same in an event loop."""

    name = "pays_async"

    async def start(self) -> str:
        _act(self, "before")
        async with self.commit(result="paid") as session:
            await self.database.effects.insert_one({"job": self.id, "attempt": self.attempt}, session=session)
            _act(self, "in")
        _act(self, "after")
        if self.data.get("after") == "again":
            async with self.commit():
                pass
        await asyncio.sleep(0)
        return "something else"


class PaysWith(Job):
    """Writes it in a function that is repeated after a conflict, and counts its calls in its result."""

    name = "pays_with"
    calls = 0

    def start(self) -> None:
        self.commit_with(self._pay, self.data.get("n", 1))

    def _pay(self, session: Any, number: int) -> int:
        self.calls += 1
        self.database.effects.find_one({}, session=session)
        if self.calls < number:
            self.database.counters.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True)
        self.database.counters.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True, session=session)
        self.database.effects.insert_one({"job": self.id, "attempt": self.attempt}, session=session)
        return self.calls


class PaysWithAsync(Job):
    """The same in an event loop."""

    name = "pays_with_async"
    calls = 0

    async def start(self) -> None:
        await self.commit_with(self._pay, self.data.get("n", 1))

    async def _pay(self, session: Any, number: int) -> int:
        self.calls += 1
        await self.database.effects.find_one({}, session=session)
        if self.calls < number:
            await self.database.counters.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True)
        await self.database.counters.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True, session=session)
        await self.database.effects.insert_one({"job": self.id, "attempt": self.attempt}, session=session)
        return self.calls


class PaysAndTells(Pays):
    """Has a notification."""

    name = "pays_and_tells"

    def notification(self, status: Status, process: Process) -> None:
        trace(self.data["trace"], "told", status.label, process.result_value)


class Doubles(Job):
    """The control: its effect and its end are written apart."""

    name = "pays_apart"

    def start(self) -> str:
        _act(self, "before")
        self.database.effects.insert_one({"job": self.id, "attempt": self.attempt})
        _act(self, "in")
        return "paid"


class PaysAndCrashes(Pays):
    """Its worker is killed after so many calls of the database, in its first attempt."""

    name = "pays_and_crashes"

    def start(self) -> str:
        self._arm()
        return super().start()

    def _arm(self) -> None:
        if self.attempt == 1 and self.data.get("crash_at"):
            crashing.arm(self.data["crash_at"], Path(self.data["record"]))

    def tear_down(self, outcome: Outcome) -> None:
        trace(self.data["record"] + ".over", self.attempt, outcome.status.label)


class PaysAndCrashesApart(PaysAndCrashes):
    """The control: the effect is written beside the transaction."""

    name = "pays_and_crashes_apart"

    def start(self) -> str:
        self._arm()
        self.database.effects.insert_one({"job": self.id, "attempt": self.attempt})
        with self.commit(result="paid"):
            pass
        return "paid"
