"""The jobs of a run. Each writes down its start, a beat every 50 ms and its end, with attempt and process."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from taskscheduler import Job, Retry, Service, SignalTimeoutError
from taskscheduler.jobs.executor import JobInterrupted
from tests.faults.history import of_environment
from tests.faults.retries import ASKED, SNOOZE
from tests.faults.standing import EFFECTS
from tests.faults.stepping import SIGNAL_WITHIN, SLEEP, TIMED_OUT

_BEAT = 0.05
_HISTORY = of_environment()


class Recorded(Job):
    """Writes down what happens around `work`."""

    name = "faults.recorded"

    def start(self) -> Any:
        self._note("start")
        try:
            result = self.work()
        except BaseException as error:
            self._note("end", how=type(error).__name__)
            raise
        self._note("end", how="done")
        return result

    def work(self) -> Any:
        """What the job does."""

    def nap(self, seconds: float) -> None:
        """Take so long, with a sign of life every now and then."""
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while (left := deadline - time.monotonic()) > 0:
            pause.wait(min(_BEAT, left))
            self._note("beat")

    def _note(self, what: str, **facts: Any) -> None:
        _HISTORY.write(what, job=str(self.id), attempt=self.attempt, manager=os.getppid(), **facts)


class Quick(Recorded):
    name = "faults.quick"


class Tick(Recorded):
    """A run of a schedule."""

    name = "faults.tick"


class Result(Recorded):
    """Tells its progress and returns its data."""

    name = "faults.result"

    def work(self) -> Any:
        self.update_progress(50.0, "half way")
        return {"data": self.data, "attempt": self.attempt}


class Nap(Recorded):
    """Takes as many seconds as the data says."""

    name = "faults.nap"

    def work(self) -> None:
        self.nap(self.data)


class Flaky(Recorded):
    """Fails until its attempt is greater than the number in the data."""

    name = "faults.flaky"

    def work(self) -> None:
        if self.attempt <= self.data:
            raise RuntimeError(f"attempt {self.attempt} of {self.data} that fail")


class Asking(Recorded):
    """Asks for another try until its attempt is greater than the number in the data."""

    name = "faults.asking"

    def work(self) -> None:
        if self.attempt <= self.data:
            raise Retry(after=ASKED, reason=f"attempt {self.attempt} of {self.data} that ask")


class Snoozing(Recorded):
    """Puts itself off until its attempt is greater than the number in the data."""

    name = "faults.snoozing"

    def work(self) -> None:
        if self.attempt <= self.data:
            self.snooze(SNOOZE)


class Stepping(Recorded):
    """Does steps, with a sleep between them and a wait for a signal at the end; the data is how many."""

    name = "faults.stepping"

    def work(self) -> None:
        for number in range(self.data):
            self._known(f"step-{number}", self.step(f"step-{number}", self._once, f"step-{number}"))
            if number == 0:
                self.sleep(SLEEP)
        try:
            self._known("go", self.wait_for("go", timeout=SIGNAL_WITHIN))
        except SignalTimeoutError:
            self._known("go", TIMED_OUT)

    def _once(self, step: str) -> int:
        self._note("ran", step=step)
        self.nap(random.uniform(0, 0.2))
        return random.randrange(2**30)

    def _known(self, step: str, value: Any) -> None:
        self._note("known", step=step, value=value)


class Paying(Recorded):
    """Writes one effect in the transaction in which it ends."""

    name = "faults.paying"

    def work(self) -> None:
        with self.commit() as session:
            self.database[EFFECTS].insert_one({"job": self.id, "attempt": self.attempt}, session=session)
            self.nap(self.data)


class Killer(Recorded):
    """Kills its worker until its attempt is greater than the number in the data."""

    name = "faults.killer"

    def work(self) -> None:
        if self.attempt <= self.data:
            os.kill(os.getpid(), signal.SIGKILL)


class ManagerKiller(Recorded):
    """Kills its manager when others have had time to begin."""

    name = "faults.manager_killer"

    def work(self) -> None:
        self.nap(self.data)
        os.kill(os.getppid(), signal.SIGKILL)
        self.nap(60.0)


class Solo(Nap):
    """Never two at once."""

    name = "faults.solo"
    solo = True


class Keeper(Recorded, Service):
    """A service that runs until it is asked to stop."""

    name = "faults.keeper"

    def work(self) -> None:
        while not self.wait(_BEAT):
            self._note("beat")


class Fitful(Recorded, Service):
    """A service that ends by itself after a while, well or badly."""

    name = "faults.fitful"

    def work(self) -> None:
        self.nap(random.uniform(0.2, 1.5))
        if random.random() < 0.3:
            raise RuntimeError("a service that fails")


class Reluctant(Recorded, Service):
    """A service that does not hear that it was asked to stop, and cannot be interrupted."""

    name = "faults.reluctant"

    def work(self) -> None:
        while True:
            with suppress(JobInterrupted):
                self.nap(60.0)


class Stubborn(Recorded):
    """Does not listen to SIGTERM, and takes half a minute."""

    name = "faults.stubborn"

    def work(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.nap(30.0)
