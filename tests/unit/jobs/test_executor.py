"""Every way in which a job can end in a worker, and what is stored about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import bson
import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidJobError
from taskscheduler.jobs.executor import JobInterrupted, execute, find, instance, notify
from taskscheduler.jobs.functions import job
from taskscheduler.jobs.job import Job
from taskscheduler.model.attempt_result import AttemptResult, describe, encode, storable
from taskscheduler.model.exception_texts import LONGEST_MESSAGE, LONGEST_TRACEBACK
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC, DEEPEST
from taskscheduler.model.process_state import ProcessState
from taskscheduler.process import Process
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Kind, Report, Run
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.worker.worker import Worker

MIB = 1024 * 1024


class FakeRuntime:
    """A worker that takes no notice."""

    def report(self, progress: float | None, message: str | None) -> None:
        return None

    def scheduler(self) -> Any:
        return None

    def async_scheduler(self) -> Any:
        return None

    def interruption(self) -> Status:
        return Status.TIMEOUT

    def attempt(self) -> Any:
        return None


class Does(Job):
    """Does what the test says."""

    name = "unit-does"
    what: Callable[[Job], Any]

    def start(self) -> Any:
        return type(self).what(self)


def document(name: str = "unit-does", **fields: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "class": name, "data": None, "attempt": 1, **fields}


def does(what: Callable[[Job], Any], max_payload: int = MIB, **fields: Any) -> tuple[Ending, dict[str, Any]]:
    Does.what = staticmethod(what)
    return execute(document(**fields), FakeRuntime(), None, max_payload)


def raises(error: BaseException) -> dict[str, Any]:
    """What is stored about a job that raised this."""

    def what(_: Job) -> None:
        raise error

    ending, content = does(what)
    assert ending is Ending.FAILED
    assert set(content) == {"error", "fingerprint"}
    bson.encode(content, codec_options=CODEC)
    stored: dict[str, Any] = content["error"]
    return stored


# -- success ----------------------------------------------------------------------------------------------------------


@table("value", [0, "", False, [], {"$set": {"a.b": 1}}, b"x", datetime(2030, 1, 1, tzinfo=UTC), ObjectId(), (1, 2)])
def test_the_returned_value_is_the_result(value: Any) -> None:
    assert does(lambda _: value) == (Ending.SUCCEEDED, {"result": value})


def test_a_job_that_returns_nothing_has_no_result() -> None:
    assert does(lambda _: None) == (Ending.SUCCEEDED, {})
    assert encode(AttemptResult(Ending.SUCCEEDED, {})) == (Ending.SUCCEEDED, b"")


def test_a_job_has_its_data_its_id_and_its_attempt() -> None:
    given = document(data={"a": 1}, attempt=4)
    Does.what = staticmethod(lambda job: [job.data, job.id, job.attempt])
    assert execute(given, FakeRuntime(), None, MIB) == (Ending.SUCCEEDED, {"result": [{"a": 1}, given["_id"], 4]})


def test_a_function_job_is_run_with_its_arguments() -> None:
    @job(name="unit-double")
    def double(a: int) -> int:
        return 2 * a

    assert execute(document("unit-double", data={"a": 4}), FakeRuntime(), None, MIB)[1] == {"result": 8}


# -- failure ----------------------------------------------------------------------------------------------------------


class OddError(Exception):
    """An error of the user's."""


def test_an_exception_is_stored_with_type_message_and_traceback() -> None:
    stored = raises(ValueError("no address"))
    assert (stored["type"], stored["message"]) == ("ValueError", "no address")
    assert stored["traceback"].startswith("Traceback (most recent call last):")
    assert stored["traceback"].endswith("ValueError: no address\n")
    assert "test_executor.py" in stored["traceback"]


def test_the_place_of_an_exception_is_in_the_module_of_the_job() -> None:
    stored = raises(ValueError("no address"))
    assert stored["place"].startswith("test_executor.py:")
    assert stored["place"].endswith(" in raises.<locals>.what")


def test_an_exception_before_the_job_has_begun_has_no_place() -> None:
    @job(name="unit-placeless")
    def placeless(a: int) -> int:
        return a

    given = document("unit-placeless", data={"a": "text"})
    ending, content = execute(given, FakeRuntime(), None, MIB)
    assert (ending, set(content)) == (Ending.FAILED, {"error"})
    assert "place" not in content["error"]


def test_a_job_that_succeeds_has_no_fingerprint() -> None:
    assert does(lambda _: 1) == (Ending.SUCCEEDED, {"result": 1})


def test_an_exception_of_the_users_has_the_name_of_its_module() -> None:
    assert raises(OddError("x"))["type"] == f"{OddError.__module__}.OddError"
    assert raises(InvalidJobError("x"))["type"] == "InvalidJobError"


@table(
    ("error", "kind", "message"),
    [
        (SystemExit(4), "SystemExit", "4"),
        (SystemExit(), "SystemExit", ""),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (GeneratorExit(), "GeneratorExit", ""),
        (StopIteration(5), "StopIteration", "5"),
        (MemoryError(), "MemoryError", ""),
        (BaseExceptionGroup("many", [SystemExit(1)]), "BaseExceptionGroup", "many (1 sub-exception)"),
    ],
)
def test_an_exception_of_any_kind_fails_the_job_and_not_the_worker(
    error: BaseException, kind: str, message: str
) -> None:
    stored = raises(error)
    assert (stored["type"], stored["message"]) == (kind, message)


def test_sys_exit_fails_the_job() -> None:
    ending, content = does(lambda _: sys.exit("good bye"))
    assert (ending, content["error"]["type"], content["error"]["message"]) == (Ending.FAILED, "SystemExit", "good bye")


def test_a_job_that_is_interrupted_does_not_end_by_itself() -> None:
    def what(_: Job) -> None:
        raise JobInterrupted

    with pytest.raises(JobInterrupted):
        does(what)


def test_jobs_do_not_catch_an_interruption_by_accident() -> None:
    assert not issubclass(JobInterrupted, Exception)


def test_a_long_traceback_is_cut_to_its_end() -> None:
    def deeper(depth: int) -> None:
        if depth == 0:
            raise ValueError("ä" * 6000)
        deeper(depth - 1)

    ending, content = does(lambda _: deeper(200))
    stored = content["error"]
    assert ending is Ending.FAILED
    assert LONGEST_TRACEBACK - 4 < len(stored["traceback"].encode()) <= LONGEST_TRACEBACK == 8192
    assert stored["traceback"].endswith("ä\n")
    assert len(stored["message"]) == LONGEST_MESSAGE


def test_a_recursion_without_end_fails_the_job() -> None:
    def forever(_: Any) -> Any:
        return forever(_)

    ending, content = does(forever)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, "RecursionError")


def test_a_text_that_cannot_be_stored_is_replaced() -> None:
    stored = raises(ValueError("bad \ud800 text\0"))
    assert stored["message"] == "bad ? text\0"
    assert "bad ? text" in stored["traceback"]


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot say")


def test_an_exception_without_a_text_is_stored_all_the_same() -> None:
    assert raises(UnspeakableError())["message"] == "(its text could not be made)"


def test_the_cause_of_an_exception_is_in_the_traceback() -> None:
    def what(_: Job) -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    trace = does(what)[1]["error"]["traceback"]
    assert "KeyError: 'inner'" in trace
    assert "ValueError: outer" in trace


def test_an_exception_that_was_never_raised_can_be_described() -> None:
    assert describe(ValueError("x")) == {"type": "ValueError", "message": "x", "traceback": "ValueError: x\n"}


# -- results that cannot be stored ------------------------------------------------------------------------------------


def recursive() -> list[Any]:
    itself: list[Any] = []
    itself.append(itself)
    return itself


@table(
    "value",
    [object(), {1: 2}, 2**70, recursive(), "\ud800", {"a": {1, 2j}}, {"a\0": 1}, 1j, Status],
)
def test_a_result_that_bson_cannot_hold_fails_the_job(value: Any) -> None:
    ending, content = does(lambda _: value)
    assert ending is Ending.FAILED
    assert content["error"]["type"] == "InvalidDataError"
    assert content["error"]["message"].startswith("the result of job unit-does cannot be stored: ")
    bson.encode(content, codec_options=CODEC)


def test_a_result_that_is_too_large_fails_the_job() -> None:
    ending, content = does(lambda _: bytes(2000), max_payload=1024)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, "PayloadTooLargeError")
    assert "the result of job unit-does takes 2007 bytes, more than max_payload (1024)" in content["error"]["message"]
    assert does(lambda _: bytes(1000), max_payload=1024)[0] is Ending.SUCCEEDED


def test_a_result_that_is_nested_too_deeply_fails_the_job() -> None:
    value: list[Any] = []
    for _ in range(DEEPEST):
        value = [value]
    assert storable("x", value, MIB).content["error"]["type"] == "InvalidDataError"
    assert storable("x", value[0], MIB).ending is Ending.SUCCEEDED


class Lying(Mapping[str, Any]):
    """A mapping that breaks when it is read, as a dictionary does that a thread changes meanwhile."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("changed")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("dictionary changed size during iteration")

    def __len__(self) -> int:
        return 1


def test_a_result_that_breaks_while_it_is_stored_fails_the_job_and_not_the_worker() -> None:
    ending, content = does(lambda _: Lying())
    assert ending is Ending.FAILED
    assert "changed" in content["error"]["message"]


# -- jobs that cannot be made -----------------------------------------------------------------------------------------


def test_a_job_that_nobody_registered_fails_with_what_to_do_about_it() -> None:
    ending, content = execute(document("unit-nobody"), FakeRuntime(), None, MIB)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, "InvalidJobError")
    said = content["error"]["message"]
    assert said.startswith("job 'unit-nobody' is not registered on this node; start it with --jobs and the module")


def test_a_name_from_the_database_is_never_imported() -> None:
    with pytest.raises(InvalidJobError):
        find("poplib.POP3")
    assert "poplib" not in sys.modules


def test_a_job_whose_constructor_raises_fails() -> None:
    class Fragile(Job):
        name = "unit-fragile"

        def __init__(self) -> None:
            raise OSError("no disk")

    ending, content = execute(document("unit-fragile"), FakeRuntime(), None, MIB)
    assert (ending, content["error"]["message"]) == (Ending.FAILED, "no disk")


class Box:
    """A container."""

    def __init__(self, make: Callable[[type[Job]], Any]) -> None:
        self.get = make


def test_a_container_makes_the_instances() -> None:
    asked: list[type[Job]] = []

    def make(cls: type[Job]) -> Job:
        asked.append(cls)
        made = cls()
        made.extra = "injected"  # type: ignore[attr-defined]
        return made

    Does.what = staticmethod(lambda job: job.extra)
    assert execute(document(), FakeRuntime(), Box(make), MIB) == (Ending.SUCCEEDED, {"result": "injected"})
    assert asked == [Does]


@pytest.mark.parametrize("error", [LookupError("unknown service"), SystemExit(1)])
def test_a_container_that_fails_fails_the_job_and_not_the_worker(error: BaseException) -> None:
    def make(cls: type[Job]) -> Any:
        raise error

    ending, content = execute(document(), FakeRuntime(), Box(make), MIB)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, type(error).__name__)


@table("made", [None, "x", Does, object()])
def test_a_container_that_gives_no_job_fails_the_job(made: Any) -> None:
    ending, content = execute(document(), FakeRuntime(), Box(lambda cls: made), MIB)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, "InvalidJobError")
    assert content["error"]["message"].endswith("for unit-does, which is not a Job")


def test_a_container_is_not_asked_for_a_job_that_nobody_registered() -> None:
    asked: list[type[Job]] = []
    execute(document("unit-nobody"), FakeRuntime(), Box(lambda cls: asked.append(cls)), MIB)
    assert asked == []


def test_the_job_for_a_hook_is_made_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []
    monkeypatch.setattr(Does, "notification", lambda job, status, process: seen.append(job))
    given = document(data=5, attempt=2) | {"status": 3}
    notify(given, FakeRuntime(), None, cast("Process", ProcessState(given)))
    assert (seen[0].data, seen[0].id, seen[0].attempt) == (5, given["_id"], 2)
    assert isinstance(instance(given, FakeRuntime(), None), Does)


# -- in a worker ------------------------------------------------------------------------------------------------------


def test_a_progress_message_that_cannot_be_stored_does_not_end_the_worker() -> None:
    manager, end = packets.pair()
    worker, given, page = Worker(ObjectId()), document(), SharedPage()
    worker._connect(end, page, progress_limit=0.5, max_payload=MIB)
    Does.what = staticmethod(lambda job: job.update_progress(5, message="half \ud800 way"))
    with manager, end:
        worker._process(Run(given["_id"].binary, 1, 0, 0, bson.encode(given)))
        manager.setblocking(False)
        last = list(packets.drain(manager))[-1]
    page.close()
    assert Report.decode(last).kind == Kind.REPORT
