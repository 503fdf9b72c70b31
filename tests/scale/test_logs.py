"""A job that prints a gigabyte, a thousand jobs that log at once, and what the jobs beside them notice of that.

It is about figures, so it wants the machine for itself: `.venv/bin/pytest -m scale -s tests/scale/test_logs.py`
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler import Process, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from tests.benchmarks.processes import pss_mb
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

StartNode = Callable[..., NodeProcess]

pytestmark = [pytest.mark.scale, pytest.mark.timeout(1200)]

BLOCK = 64_000  #: bytes that a job prints at once

GIGABYTE = 1_000_000_000 // BLOCK

MIB = 1024 * 1024

BESIDE, ROUNDS = 2_000, 5


def texts(process: Process) -> list[str]:
    return [line.text for line in process.logs()]


def test_of_a_gigabyte_the_newest_mebibyte_is_kept(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(jobs=["tests.support.talking"], pm="static", min_children=2)
    before, began = pss_mb([node.pid]), SYSTEM_CLOCK.monotonic()
    flood = scheduler.add_job("print_blocks", {"count": GIGABYTE})
    others, peak = list[Process](), before
    while not flood.refresh().status.is_final:
        others.append(scheduler.add_job("say", {"text": "beside", "times": 3}).wait(timeout=60))
        peak = max(peak, pss_mb([node.pid]))
    took = SYSTEM_CLOCK.monotonic() - began
    print(f"{took:.0f} s, {len(others)} jobs beside it, the node grew by {peak - before:.0f} MB")  # noqa: T201
    assert flood.status is Status.DONE
    gap, *lines = flood.logs()
    assert gap.stream == "gap"
    assert lines[-1].text == "the last line"
    assert {line.text for line in lines[:-1]} == {"x" * 99}
    assert 0.8 * MIB < sum(len(line.text) + 1 for line in lines) <= MIB
    assert all(texts(other) == ["beside 0", "beside 1", "beside 2"] for other in others)
    assert peak - before < 64


def test_a_thousand_jobs_log_at_once(scheduler: Scheduler, start_node: StartNode) -> None:
    """Beside one that is killed in the middle of a line, and one that prints what is no text."""
    data = bytes(range(256)) * 100 + b"\n\x1b[31mred\x1b[0m\n"
    processes = scheduler.add_jobs([("say_async", {"text": f"job {number}", "times": 20}) for number in range(1000)])
    killed, odd = scheduler.add_job("die_talking"), scheduler.add_job("print_bytes", {"data": data})
    start_node(jobs=["tests.support.talking"], pm="static", min_children=3, async_jobs=1000, max_lost=1)
    scheduler.wait_for([*processes, killed, odd], timeout=300)
    for number, process in enumerate(processes):
        said = [f"job {number} {how}{step}" for step in range(20) for how in ("", "logs ")]
        assert texts(process) == [*said, f"job {number} in a thread"]
    assert texts(killed) == ["a whole line", "half a li"]
    assert "\n".join(texts(odd)) + "\n" == data.decode(errors="replace")


def rate(scheduler: Scheduler, beside: tuple[str, dict[str, Any]], until: Path) -> float:
    """Jobs that the other two workers run in a second: from the first start until all ends are written."""
    first = scheduler.add_job(*beside)
    eventually(lambda: first.refresh().status is Status.PROCESSING, 30)
    key = str(ObjectId())
    scheduler.add_jobs([("silent", None, {"tags": [key]})] * BESIDE)
    jobs, done = scheduler.store.jobs.collection, {"tags": key, "status": int(Status.DONE)}

    def all_done() -> bool:
        threading.Event().wait(0.1)  # counting takes the database some time
        return jobs.count_documents(done) == BESIDE

    eventually(all_done, 300, "all jobs are done")
    until.touch()
    first.wait(60)
    until.unlink()
    claimed = jobs.find_one(done, {"claimed": 1}, sort=[("claimed", 1)])
    ended = jobs.find_one(done, {"ended": 1}, sort=[("ended", -1)])
    assert claimed is not None
    assert ended is not None
    return BESIDE / float((ended["ended"] - claimed["claimed"]).total_seconds())


def test_a_flood_slows_no_job_beside_it(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    """The same jobs beside one that waits, and beside one that prints as fast as it can."""
    start_node(jobs=["tests.support.talking"], pm="static", min_children=3)
    until, ratios = tmp_path / "until", list[float]()
    quiet = ("hold", {"path": str(until)})
    loud = ("print_blocks", {"count": GIGABYTE, "until": str(until)})
    rate(scheduler, quiet, until)  # the first run warms the server up
    for _ in range(ROUNDS):
        calm, flooded = rate(scheduler, quiet, until), rate(scheduler, loud, until)
        ratios.append(flooded / calm)
        print(f"beside a silent job {calm:,.0f}/s, beside a flood {flooded:,.0f}/s: {ratios[-1]:.2f}")  # noqa: T201
    assert statistics.median(ratios) > 0.95
