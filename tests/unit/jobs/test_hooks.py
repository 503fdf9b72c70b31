"""What is called around a job's work, in which order, and what it is told; what a job may say of itself."""

from __future__ import annotations

import logging
from typing import Any

import bson
import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler import Job, JobFailure, Outcome
from taskscheduler.jobs.executor import JobInterrupted, execute
from taskscheduler.model.attempt_result import describe
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc.shared_page import ROOM, SharedPage

MIB = 1024 * 1024


class Recorder:
    """A worker that notes what its job says."""

    def __init__(self) -> None:
        self.said: list[tuple[float | None, str | None]] = []

    def report(self, progress: float | None, message: str | None) -> None:
        self.said.append((progress, message))

    def scheduler(self) -> Any:
        return None

    def async_scheduler(self) -> Any:
        return None

    def interruption(self) -> Status:
        return Status.CANCELED

    def attempt(self) -> Any:
        return None


class Stepping(Job):
    """Notes its steps; raises or returns what the test says."""

    name = "unit-stepping"
    steps: list[Any] = []
    raises: dict[str, BaseException] = {}
    value: Any = None

    def set_up(self) -> None:
        self._step("set_up")

    def start(self) -> Any:
        self._step("start")
        return self.value

    def tear_down(self, outcome: Outcome) -> None:
        self.steps.append(outcome)
        if "tear_down" in self.raises:
            raise self.raises["tear_down"]

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.raises:
            raise self.raises[name]


def run(max_payload: int = MIB, value: Any = None, **raises: BaseException) -> tuple[Ending, dict[str, Any]]:
    Stepping.steps, Stepping.raises, Stepping.value = [], raises, value
    document = {"_id": ObjectId(), "class": "unit-stepping", "data": None, "attempt": 1}
    return execute(document, Recorder(), None, max_payload)


def told() -> Outcome:
    """What `tear_down` was told; it was called once, and last."""
    *steps, outcome = Stepping.steps
    assert isinstance(outcome, Outcome)
    assert all(isinstance(step, str) for step in steps)
    return outcome


# -- set_up, start, tear_down -----------------------------------------------------------------------------------------


def test_a_job_is_set_up_started_and_torn_down() -> None:
    assert run(value="value") == (Ending.SUCCEEDED, {"result": "value"})
    assert Stepping.steps == ["set_up", "start", Outcome(Status.DONE, "value")]


@table("step", ["set_up", "start"])
@table("error", [ValueError("no"), SystemExit(2), KeyboardInterrupt()])
def test_tear_down_is_called_when_a_step_raises(step: str, error: BaseException) -> None:
    ending, content = run(MIB, **{step: error})
    assert ending is Ending.FAILED
    assert told() == Outcome(Status.FAILED, error=content["error"])
    assert content["error"]["type"] == type(error).__name__
    assert Stepping.steps[:-1] == ["set_up", "start"][: 1 if step == "set_up" else 2]


def test_a_result_that_cannot_be_stored_is_a_failure_for_tear_down_too() -> None:
    assert run(max_payload=1000, value=bytes(2000))[0] is Ending.FAILED
    assert told().status is Status.FAILED
    assert (told().error or {})["type"] == "PayloadTooLargeError"


@pytest.mark.parametrize("step", ["set_up", "start"])
def test_an_interrupted_job_is_torn_down_and_knows_why(step: str) -> None:
    with pytest.raises(JobInterrupted):
        run(MIB, **{step: JobInterrupted()})
    assert told() == Outcome(Status.CANCELED)


def test_an_interrupted_tear_down_is_not_called_again() -> None:
    with pytest.raises(JobInterrupted):
        run(tear_down=JobInterrupted())
    assert told().status is Status.DONE


def test_what_tear_down_raises_fails_a_job_that_had_succeeded() -> None:
    ending, content = run(value="value", tear_down=OSError("disk"))
    assert (ending, content["error"]["type"], "result" in content) == (Ending.FAILED, "OSError", False)


def test_what_tear_down_raises_after_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ending, content = run(start=ValueError("first"), tear_down=OSError("second"))
    assert (ending, content["error"]["message"]) == (Ending.FAILED, "first")
    assert "second" in caplog.text


def test_what_tear_down_raises_in_an_interrupted_job_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(JobInterrupted):
        run(start=JobInterrupted(), tear_down=SystemExit("second"))
    assert "second" in caplog.text


def test_a_manager_says_in_the_slot_why_it_interrupts() -> None:
    slot = SharedPage()
    assert Status(slot.kill_status) is Status.WAITING
    slot.kill_status = Status.TIMEOUT
    slot.write(bytes(ROOM))  # as much as there is room for
    assert Status(slot.kill_status) is Status.TIMEOUT
    assert slot.read(0) == (2, bytes(ROOM))
    slot.close()


# -- what a job says of itself ----------------------------------------------------------------------------------------


def job(**attributes: Any) -> Stepping:
    made = Stepping()
    made.id, made._runtime = ObjectId(), Recorder()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@table(("target", "completed", "percent"), [(120, 30, 25.0), (3, 1, 33.33), (0.5, 0.5, 100.0), (7, 0, 0.0)])
def test_progress_may_be_given_as_completed_of_a_target(target: float, completed: float, percent: float) -> None:
    made = job(progress_target=target)
    made.update_progress(completed=completed, message="files")
    assert made._runtime.said == [(percent, "files")]  # type: ignore[union-attr]


@table(
    ("target", "given", "said"),
    [
        (120, {"completed": 121}, "completed may only be between 0 and the progress_target 120, not 121"),
        (120, {"completed": True}, "completed may only be"),
        (120, {"completed": "3"}, "completed may only be"),
        (120, {"completed": float("nan")}, "completed may only be"),
        (0, {"completed": 0}, "progress_target must be a number greater than 0, not 0"),
        (None, {"completed": 0}, "progress_target must be a number greater than 0"),
        (120, {"completed": 1, "progress": 1}, "give progress or completed, not both"),
    ],
)
def test_a_completion_that_makes_no_sense_is_refused(target: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        job(progress_target=target).update_progress(**given)


def test_a_job_may_fail_with_a_message_and_without_a_traceback() -> None:
    with pytest.raises(JobFailure) as raised:
        job().fail("no paper")
    assert describe(raised.value) == {"type": "JobFailure", "message": "no paper"}
    bson.encode(describe(raised.value))


def test_the_logger_of_a_job_says_which_job_it_is(caplog: pytest.LogCaptureFixture) -> None:
    made = job(attempt=3)
    with caplog.at_level(logging.INFO):
        made.logger.info("at %d", 5, extra={"mine": 1, "attempt": "not this"})
    seen = vars(caplog.records[0])
    assert seen["name"] == __name__
    assert (seen["job"], seen["job_name"], seen["attempt"], seen["mine"]) == (str(made.id), "unit-stepping", 3, 1)
