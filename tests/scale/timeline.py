"""Measures where the time of a single job goes, from `add_job` to `result()`.

`.venv/bin/python -m tests.scale.timeline [JOBS]` adds jobs to an idle node of two workers, one after the other, and
notes in the program, in the node and in the worker when each step begins or ends. It prints the median of each step in
milliseconds since the call of `add_job`, and what it takes in bare inserts, which are made in between.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pymongo.collection import Collection

from taskscheduler import Scheduler
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.completions import CompletionStore
from taskscheduler_daemon.demo.environment import embedded_server
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from tests.benchmarks.figures import Figures
from tests.benchmarks.jobs import Stamp
from tests.benchmarks.stage import Stage

_JOBS, _PAUSE = 200, 0.02


class Step(NamedTuple):
    """A call in the node that is noted."""

    owner: type
    name: str
    begins: str  #: what has happened when it begins
    ends: str = ""  #: and when it ends; nothing: that is of no interest


_STEPS = (
    Step(Claimer, "claim_added", "the node has heard of it"),
    Step(ClaimStore, "claim_one", "the claim is sent", "the job is claimed"),
    Step(Dispatcher, "dispatch", "the node has understood it", "the manager has it"),
    Step(Completer, "end_quickly", "the node knows its end"),
    Step(CompletionStore, "write", "the end is sent", "the end is stored"),
)

_RUNS, _ADDED, _RESULT = "the job runs", "add_job returns", "result() returns"


def trace(path: str) -> None:
    """Has this node write the time and the name of each step to a file."""
    out = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a", buffering=1)
    for step in _STEPS:
        setattr(step.owner, step.name, _noted(getattr(step.owner, step.name), step, out))


def _noted(call: Callable[..., Any], step: Step, out: Any) -> Callable[..., Any]:
    def run(*args: Any, **named: Any) -> Any:
        out.write(f"{time.monotonic()} {step.begins}\n")
        try:
            return call(*args, **named)
        finally:
            if step.ends:
                out.write(f"{time.monotonic()} {step.ends}\n")

    return run


class Run(NamedTuple):
    """A job, and when its program did what."""

    begun: float
    added: float
    ended: float


def runs_of(scheduler: Scheduler, bare: Collection[Any], count: int) -> tuple[list[Run], list[float]]:
    """Runs so many jobs one after the other; these, and the seconds of the bare inserts in between."""
    runs, inserts = list[Run](), list[float]()
    for _ in range(count):
        time.sleep(_PAUSE)
        begun = time.monotonic()
        bare.insert_one({"n": 1})
        inserts.append(time.monotonic() - begun)
        time.sleep(_PAUSE)
        begun = time.monotonic()
        job = scheduler.add_job(Stamp)
        added = time.monotonic()
        job.result(timeout=10)
        runs.append(Run(begun, added, time.monotonic()))
    return runs, inserts


def steps_of(runs: Sequence[Run], notes: Sequence[tuple[float, str]]) -> dict[str, float]:
    """The median of each step in seconds since its job was added, in their order."""
    seconds: dict[str, list[float]] = {}
    for run in runs:
        within = [(at, name) for at, name in notes if run.begun <= at <= run.ended]
        own = [(run.added, _ADDED), (run.ended, _RESULT)]
        first = {name: at for at, name in sorted([*within, *own], reverse=True)}
        for name, at in first.items():
            seconds.setdefault(name, []).append(at - run.begun)
    medians = {name: statistics.median(values) for name, values in seconds.items() if len(values) > len(runs) // 2}
    return dict(sorted(medians.items(), key=lambda one: one[1]))


@contextmanager
def _stage() -> Iterator[Stage]:
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-timeline-"))
    try:
        with embedded_server(directory / "server") as server:
            yield Stage(server.uri, server.address.mongod_pid, directory, Figures(), quick=False)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main(count: int = _JOBS) -> None:
    with _stage() as stage, stage.scheduler() as (uri, scheduler):
        stamps, file = stage.stamps(), stage.directory / "steps"
        late = f"from tests.scale import timeline; timeline.trace({str(file)!r})"
        with stage.node(uri, late=late) as node:
            node.wait_until_ready()
            bare = scheduler.store.database["bare"]
            runs_of(scheduler, bare, 10)  # workers and connections are ready then
            runs, inserts = runs_of(scheduler, bare, count)
        lines = [line.split(" ", 1) for line in file.read_text().splitlines()]
        notes = [(float(at), name) for at, name in lines] + [(at, _RUNS) for at in stamps.times()]
    bare_insert = statistics.median(inserts)
    print(f"{'bare insert':28}{1e3 * bare_insert:8.2f} ms")  # noqa: T201
    for name, seconds in steps_of(runs, notes).items():
        print(f"{name:28}{1e3 * seconds:8.2f} ms{seconds / bare_insert:8.2f}")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
