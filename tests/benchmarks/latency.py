"""How soon a job starts, and its result is there, on an idle cluster: one job each 50 ms."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks import floor
from tests.benchmarks.pacing import paced, percentiles
from tests.benchmarks.stage import Stage
from tests.benchmarks.stamps import Stamps
from tests.benchmarks.versions import Version

_EVERY, _WARM = 0.05, 20


def measure(stage: Stage) -> None:
    """First without, then with somebody who waits for each result."""
    count = stage.scaled(400, 100)
    with floor.single(stage, count + 2) as insert:
        _note(stage, "floor.paced_insert", [took for _, took in paced(count, _EVERY, insert)])
    for version in stage.in_turn():
        with stage.fresh_uri() as uri:
            stamps = stage.stamps()
            with stage.node(uri, version) as node:
                node.wait_until_ready()
                for name, seconds in of_jobs(version, uri, stamps, count).items():
                    _note(stage, f"{version.name}.{name}", seconds)


def of_jobs(version: Version, uri: str, stamps: Stamps, count: int) -> dict[str, Sequence[float]]:
    """The seconds until each of so many jobs began, was added, and had its result, on a node that has nothing else."""
    before = stamps.count() + _WARM
    found = version.act(uri, "latency", _WARM, count)
    # at this pace each execution belongs to the job that was added before it, in order
    started = stamps.times()[before : before + count]
    start = [began - asked for began, asked in zip(started, found["begun"], strict=True)]
    return {"start": start, "add": found["add"], "result": found["result"]}


def _note(stage: Stage, name: str, seconds: Sequence[float]) -> None:
    for part, value in percentiles(seconds).items():
        stage.figures.note(f"{name}_{part}", value, "ms")
