"""Signs of life of a command, its end, and what people are told if they cannot be written."""

from __future__ import annotations

import io
import select
import signal
import threading
from collections.abc import Iterator

import pytest
from tests.support.eventually import eventually
from tests.unit.programs.fakes import FakeRecord

from taskscheduler import DatabaseUnavailableError, JobCanceledError, JobTimeoutError
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.process_state import ProcessState
from taskscheduler_daemon.programs.record_keeper import RecordKeeper
from taskscheduler_daemon.system.signal_pipe import SignalPipe


class Scene:
    """A keeper, its record and what it prints."""

    def __init__(self, solo: bool = False) -> None:
        self.record, self.stderr = FakeRecord(solo), io.StringIO()
        self.signals = SignalPipe([])
        self.keeper = RecordKeeper(self.record, self.signals, 0.03, self.stderr, SYSTEM_CLOCK)

    @property
    def remarks(self) -> str:
        return self.stderr.getvalue()


@pytest.fixture
def scenes() -> Iterator[list[Scene]]:
    made: list[Scene] = []
    yield made
    for scene in made:
        scene.keeper.stop()
        for thread in threading.enumerate():
            if thread.name in ("taskscheduler-life", "taskscheduler-end"):
                thread.join(10)
        scene.signals.close()


@pytest.fixture
def scene(scenes: list[Scene]) -> Scene:
    scenes.append(Scene())
    return scenes[0]


def ended(error: type[JobCanceledError] | type[JobTimeoutError]) -> JobCanceledError | JobTimeoutError:
    return error("the record was ended", ProcessState({}))


def test_the_group_comes_first_then_signs_of_life(scene: Scene) -> None:
    scene.keeper.start(42)
    assert scene.record.alive.wait(10)
    scene.keeper.stop()
    assert scene.record.written[0] == ("group", 42)
    assert scene.remarks == ""


def test_a_database_that_is_away_does_not_end_the_command_and_is_remarked_once(scene: Scene) -> None:
    scene.record.refusals = [DatabaseUnavailableError("no answer")] * 3
    scene.keeper.start(42)
    eventually(lambda: scene.record.written)
    assert scene.keeper.lost is None
    assert scene.remarks == "taskscheduler exec: cannot write a sign of life: no answer; the command goes on\n"


def test_a_cancelled_record_ends_the_command_and_wakes_the_loop(scene: Scene) -> None:
    scene.record.refusals = [ended(JobCanceledError)]
    scene.keeper.start(42)
    assert select.select([scene.signals], [], [], 10)[0]
    assert scene.keeper.lost is not None
    assert scene.remarks == ""


def test_a_record_that_counts_as_silent_does_not_end_the_command(scene: Scene) -> None:
    scene.record.refusals = [ended(JobTimeoutError)]
    scene.keeper.start(42)
    eventually(lambda: "the command goes on without a record" in scene.remarks)
    assert scene.keeper.lost is None


def test_a_solo_command_whose_record_counts_as_silent_ends(scenes: list[Scene]) -> None:
    """Another one may run by now."""
    scenes.append(Scene(solo=True))
    scenes[0].record.refusals = [ended(JobTimeoutError)]
    scenes[0].keeper.start(42)
    eventually(lambda: scenes[0].keeper.lost)


def test_the_end_of_a_command_is_stored(scene: Scene) -> None:
    scene.keeper.finish({"exit_code": 0})
    scene.keeper.fail("exit code 3", None, exit_code=3)
    assert scene.record.written == [
        ("finish", True, {"exit_code": 0}),
        ("fail", "exit code 3", None, {"exit_code": 3}),
    ]
    assert scene.remarks == ""


def test_an_end_that_is_refused_is_remarked(scene: Scene) -> None:
    scene.record.refusals = [DatabaseUnavailableError("no answer")]
    scene.keeper.finish(None)
    assert scene.remarks == "taskscheduler exec: the end of the command was not stored: no answer\n"


def test_a_signal_ends_the_wait_for_the_database_after_the_grace_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler_daemon.programs.record_keeper.GRACE", 0.05)
    reachable = threading.Event()

    def wait() -> None:
        scene.signals.send(signal.SIGTERM)
        reachable.wait(30)

    scene.record.before_end = wait
    scene.keeper.finish(None)
    reachable.set()
    assert "the end of the command was not stored: no answer from the database" in scene.remarks
