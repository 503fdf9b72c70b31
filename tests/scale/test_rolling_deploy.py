"""Three nodes are replaced one after the other while jobs come: nothing is lost, and nothing ends twice.

It prints what it counted: `.venv/bin/pytest -m scale tests/scale/test_rolling_deploy.py`
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taskscheduler import Scheduler
from tests.scale.rolling import LONG, STOP_TIMEOUT, Producer, outcome, producing, queues_of, roll
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

OPTIONS = {"jobs": ["tests.scale.rolling"], "pm": "static", "min_children": 2, "stop_timeout": STOP_TIMEOUT}

LONGEST_PAUSE = 10.0  #: seconds; of three nodes two go on


@pytest.mark.scale
def test_a_rolling_deploy_loses_nothing(
    scheduler: Scheduler,
    start_node: Callable[..., NodeProcess],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "trace"
    nodes = [start_node(queues=queues_of(number), **OPTIONS) for number in range(3)]
    producer = Producer(scheduler, file)
    with producing(producer):
        eventually(lambda: len(producer.added) > 100, 60)
        stops = roll(nodes, producer, start_node, **OPTIONS)
        after = len(producer.added) + 100
        eventually(lambda: len(producer.added) > after, 60)
    eventually(lambda: outcome(scheduler, producer, file).done == len(producer.added), 120, "all are done")
    found = outcome(scheduler, producer, file)
    took = ", ".join(f"{one:.1f}" for one in stops)
    with capsys.disabled():
        print(f"\n{found}; the nodes took {took} s to stop")  # noqa: T201 - the page about deploying has these numbers
    assert found.done == found.added
    assert found.begun_once + len(found.begun_again) == found.added
    assert found.ended_again == 0
    assert found.begun_again == [LONG] * 3, "a job was interrupted that fits into the stop_timeout"
    assert found.longest_pause < LONGEST_PAUSE
    assert max(stops) < STOP_TIMEOUT + 15
