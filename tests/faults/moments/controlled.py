"""Moments of jobs under limits, in sequences and with solo keys, of programs and of services."""

from __future__ import annotations

import signal
from datetime import timedelta

from bson import ObjectId

from tests.faults.controls import Control
from tests.faults.processes import send
from tests.faults.program import SILENCE
from tests.faults.standing import release_sequences
from tests.faults.turns import BACK_WITHIN, FREED_LATE
from tests.support.eventually import eventually

SOLO = "solo jobs of one key do not overlap"


def two_of_a_key(control: Control, *without: str) -> None:
    """A second job of a key is due while the first one runs."""
    control.node("first", *without, min_children=2, max_children=2)
    for seconds in (0.3, 0.6):
        control.add("nap", 2.5, solo="key", at=timedelta(seconds=seconds))
    control.await_end()


def two_programs(control: Control, *without: str) -> None:
    """Two programs want the same key again and again, until one of them was refused or both have it."""
    pids = {control.program(name, *without).pid for name in ("one", "two")}
    control.node("first")
    eventually(lambda: pids == {event["pid"] for event in control.seen("end")}, 30, "each had its turn")
    eventually(lambda: control.seen("refused") or control.violations() & {SOLO}, 30, "they meet")
    for pid in pids:
        send(pid, signal.SIGKILL)
    control.history.write("over")
    control.await_end()


def silent_program(control: Control, *without: str) -> None:
    """A program freezes in its turn."""
    control.node("first", *without)
    program = control.program("one", *without)
    job = ObjectId(eventually(lambda: control.seen("beat"), 20, "its turn")[-1]["job"])
    control.pause([program.pid])
    control.history.write("over")
    try:
        eventually(lambda: control.count(_id=job, status=2) == 0, SILENCE + FREED_LATE + 1, "the end of its record")
        control.await_end()
    except AssertionError:
        pass  # for the checker to say


def service_that_ends(control: Control, *without: str) -> None:
    """A service ends by itself."""
    control.node("first", *without)
    service = control.service("fitful")
    eventually(lambda: control.seen("end"), 20, "its end")
    control.history.write("over")
    try:
        control.await_start(service, 3, BACK_WITHIN + 1)
    except AssertionError:
        pass  # for the checker to say
    control.stop_service("fitful", service)
    control.await_end()


def two_admit_at_once(control: Control, *without: str) -> None:
    """The only place of a limit is given to a job while a node is about to give it to another one."""
    control.limit("x", 1)
    control.node("first", "trap: admit late", *without, min_children=2, max_children=2)
    # not before the other one is added: who adds that would admit this one as well
    job = control.add("nap", 2.5, limits=["x"], at=timedelta(seconds=1.5))
    eventually(lambda: control.count(_id=job, blocked="limit:x"), 10, "it is parked")
    control.add("nap", 2.5, limits=["none", "x"])
    control.await_end()


def killed_worker_under_a_limit(control: Control, *without: str) -> None:
    """The worker of a job dies, and another job waits for its place."""
    control.limit("x", 1)
    control.node("first", *without, min_children=2, max_children=2)
    job = control.add("nap", 4.0, limits=["x"])
    control.add("nap", 0.5, limits=["x"])
    send(control.await_start(job, 1)["pid"], signal.SIGKILL)
    control.await_end()


def two_of_a_limit(control: Control, *without: str) -> None:
    """A job waits for the place of another one, and that ends."""
    control.limit("x", 1)
    control.node("first", *without)
    for _ in range(2):
        control.add("quick", limits=["x"])
    try:
        control.await_end(5.0 if without else 30.0)
    except AssertionError:
        pass  # for the checker to say


def three_of_a_sequence(control: Control, *without: str) -> None:
    """Two jobs wait when the first one of their sequence ends."""
    control.node("first", *without)
    for seconds in (1.0, 0.1, 0.1):
        control.add("nap", seconds, sequence="s")
    control.await_end()


def retry_in_a_sequence(control: Control, *without: str) -> None:
    """A job waits for its next try, and another one for the end of it."""
    control.node("first", *without)
    control.add("flaky", 1, sequence="s", retry=1, retry_interval=1.0)
    control.add("quick", sequence="s")
    control.await_end()


def failure_in_a_sequence(control: Control, *without: str) -> None:
    """A job that blocks its sequence fails, and after a while somebody releases it."""
    control.node("first", *without)
    control.add("flaky", 1000, "failed", sequence="s", sequence_on_failure="block")
    control.add("quick", sequence="s")
    eventually(lambda: control.count(status=4), 20, "its failure")
    control.await_start(control.add("quick", at=timedelta(seconds=1.5)), 1)
    release_sequences(control.scheduler, control.history)
    control.await_end()
