"""The n-th write fails for its caller, though the server may have carried it out, for every n: nothing is done twice.

`after`: carried out and reported as failed; `before`: it really was not.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskscheduler import Status
from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.playing import (
    breaks,
    every_failing_write_of_a_node,
    failing_write,
    failing_write_of_a_node,
)
from tests.faults.steps.scenarios import SCENARIOS
from tests.faults.steps.stage import Stage, every_step, healed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_write_of_a_node_may_fail(stages: list[Stage], name: str, when: str) -> None:
    every_failing_write_of_a_node(stages, SCENARIOS[name], when)


# -- applications -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize(("what", "count"), [("add", 1), ("add_many", 3)])
def test_adding_is_tried_again_until_it_is_known(stages: list[Stage], what: str, count: int, when: str) -> None:
    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        code, struck = failing_write(stage, what, {"data": stage.log}, n, when)
        assert (code, len(stage.acknowledged), stage.statuses()) == (0, count, {Status.WAITING: count})
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: count})
        stage.verify()
        return not struck

    assert every_step(stages, play) > 1


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_who_gets_an_error_from_add_job_once_may_ask_again(stages: list[Stage], when: str) -> None:
    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        stage.scheduler.add_job_once("trace", stage.log, retry=0)
        code, struck = failing_write(stage, "add_once", {"data": stage.log}, n, when)
        again = stage.scheduler.add_job_once("trace", stage.log, retry=1)
        assert again.outcome == "existing" or code
        live = {status: count for status, count in stage.statuses().items() if not status.is_final}
        assert live == {Status.WAITING: 1}
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: 1, Status.CANCELED: 1})
        stage.verify()
        return not struck

    assert every_step(stages, play) > 3


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("options", [{"unique_for": 600}, {"debounce": 0.2, "unique_key": "k"}])
def test_who_gets_an_error_from_adding_in_a_window_may_ask_again(
    stages: list[Stage], options: dict[str, Any], when: str
) -> None:
    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        code, struck = failing_write(stage, "add_windowed", {"data": stage.log, "options": options}, n, when)
        again = stage.scheduler.add_job("trace", stage.log, options)
        assert again.outcome in ("existing", "debounced") or code
        assert stage.statuses().total() == 1
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: 1})
        stage.verify()
        return not struck

    assert every_step(stages, play) > 2


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("what", ["cancel", "flush"])
def test_who_gets_an_error_from_ending_jobs_may_ask_again(stages: list[Stage], what: str, when: str) -> None:
    """A series whose run waits for its time, and a child of it."""

    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        job = stage.scheduler.add_job("trace", stage.log, interval=60, at=timedelta(hours=1))
        stage.scheduler.add_job("noop", at=timedelta(hours=1), parent=job.id)
        code, struck = failing_write(stage, what, {"id": str(job.id)}, n, when)
        if code:
            stage.scheduler.cancel_job(job.id) if what == "cancel" else stage.scheduler.flush()
        wanted = {Status.CANCELED: 2} if what == "cancel" else {}
        healed(stage, lambda stage: stage.statuses() == wanted)
        if what == "cancel":
            stage.verify()
        return not struck

    assert every_step(stages, play) > 1


# -- these tests can fail ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "when", "without", "only"),
    [
        ("claim and finish", BEFORE, ["writing until it is known"], ""),
        ("a batch", BEFORE, ["writing until it is known"], ""),
        ("claim and finish", AFTER, ["reading back what a claim has got", "release of strays"], ""),
        ("claim what wakes it", AFTER, ["giving back abandoned claims", "release of strays"], "find_one_and_update"),
    ],
)
def test_without_the_mechanism_the_node_breaks_a_promise(
    stages: list[Stage], name: str, when: str, without: list[str], only: str
) -> None:
    """`only`: the writes that are tried, where the one that matters may be at another place in each round."""
    assert breaks(stages, lambda stage, n: failing_write_of_a_node(stage, SCENARIOS[name], n, when, only), without)


def test_without_recognizing_its_own_insert_adding_breaks_a_promise(stages: list[Stage]) -> None:
    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        code, struck = failing_write(stage, "add", {"data": stage.log}, n, AFTER)
        assert code == 0
        return not struck

    assert breaks(stages, play, ["recognizing one's own insert"])
