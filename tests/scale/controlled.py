"""Jobs under controls, which are witnesses: locks of the kernel say who else is at work, whoever is killed."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pymongo.database import Database

from taskscheduler import Job
from taskscheduler.model.options import RATES
from taskscheduler.store.control.rates import STARTS
from tests.support.jobs import trace, traces


def locked(path: Path, wait: bool = False) -> int | None:
    """A descriptor that holds the lock of a file until it is closed, or its process ends; None if another one does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def place_in(folder: Path, places: int) -> Iterator[int | None]:
    """The number of a place that no other job is at work in; None if as many others are at work as there are places.

    Only one job looks for a place at a time: if it finds all of them taken, they were so when it began to look.
    """
    door = locked(folder / "door", wait=True)
    taken = ((number, locked(folder / f"place-{number}")) for number in range(places))
    number, held = next(((number, held) for number, held in taken if held is not None), (None, None))
    if held is not None:
        os.pwrite(held, f"{os.getpid():>10}".encode(), 0)
    assert door is not None
    os.close(door)
    try:
        yield number
    finally:
        if held is not None:
            os.close(held)


class Limited(Job):
    """Traces `begin seconds id pid`, or `begin-too-many` if too many are at work, and `end seconds id pid`."""

    name = "limited"

    def start(self) -> None:
        data: dict[str, Any] = self.data
        folder = Path(data["folder"])
        with place_in(folder, data["places"]) as number:
            what = "begin" if number is not None else "begin-too-many"
            trace(str(folder / "trace"), what, time.monotonic(), self.id, os.getpid())
            threading.Event().wait(data["seconds"])
            trace(str(folder / "trace"), "end", time.monotonic(), self.id, os.getpid())


class Ordered(Job):
    """One of a sequence. Traces `begin sequence number pid`, or `begin-too-many`; then it fails, or traces its end."""

    name = "ordered"

    def start(self) -> None:
        data: dict[str, Any] = self.data
        folder = Path(data["folder"])
        with place_in(folder / data["sequence"], 1) as number:
            what = "begin" if number is not None else "begin-too-many"
            trace(str(folder / "trace"), what, data["sequence"], data["number"], os.getpid())
            if self.attempt <= data["fails"]:
                raise RuntimeError("as the data says")
            trace(str(folder / "trace"), "end", data["sequence"], data["number"], os.getpid())


class Started(Job):
    """Traces when it began, by the wall clock, as the server on this host writes its times."""

    name = "started"

    def start(self) -> None:
        trace(self.data, time.time())


class Step(NamedTuple):
    """A line that a job of a sequence has traced."""

    what: str
    number: int


def steps(folder: Path) -> dict[str, list[Step]]:
    """What the jobs of each sequence have traced, in the order in which they did."""
    found: dict[str, list[Step]] = {}
    for what, sequence, number, _ in traces(folder / "trace"):
        found.setdefault(sequence, []).append(Step(what, int(number)))
    return found


def disorder(done: list[Step]) -> list[tuple[Step, Step]]:
    """The steps of a sequence that may not follow each other.

    A job begins when the one before it has ended, or again if nobody has heard how it ended.
    """
    pairs = zip([Step("end", -1), *done], done, strict=False)
    return [(one, other) for one, other in pairs if not _may_follow(one, other)]


def _may_follow(one: Step, other: Step) -> bool:
    if other.what == "begin":
        return other.number == one.number or (one.what == "end" and other.number == one.number + 1)
    return other.what == "end" and one == Step("begin", other.number)


def gaps(begun: list[float], ended: list[float], places: int) -> list[float]:
    """Seconds for which each place was free before the next job began, of jobs that nobody has killed."""
    return [begin - end for begin, end in zip(sorted(begun)[places:], sorted(ended), strict=False)]


def counted(database: Database[dict[str, Any]], name: str, rate: float) -> list[float]:
    """When the server has counted each start under a rate of so many in a second, by the server's clock.

    Read from its log, where each change of the rate has its time. A change that sets the count back gives starts back.
    """
    stored, times = dict[str, Any](), list[float]()
    query = {"ns": f"{database.name}.{RATES}", "op": {"$in": ["i", "u"]}, "$or": [{"o._id": name}, {"o2._id": name}]}
    for entry in database.client["local"]["oplog.rs"].find(query).sort("$natural", 1):
        changed, before = entry["o"], stored.get(STARTS, 0.0)
        parts = changed.get("diff", {"u": changed})  # or the whole document, if that is shorter
        stored |= {**parts.get("u", {}), **parts.get("i", {})}
        if stored.get(STARTS, 0.0) > before:
            times += [entry["wall"].timestamp()] * int(stored["granted"])
        elif stored.get(STARTS, 0.0) < before:
            del times[len(times) - round((before - stored[STARTS]) * rate / 1000) :]
    return times


def most_within(times: list[float], seconds: float) -> int:
    """How many of these times lie within so many seconds at most."""
    most, first = 0, 0
    ordered = sorted(times)
    for last, at in enumerate(ordered):
        while at - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
