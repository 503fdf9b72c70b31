"""Programs that keep record of themselves: seen by all, ended by whoever may, and solo beside jobs and each other."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from tests.faults.proxy import Proxies, port_of, through
from tests.integration.test_aio import run
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.programs import tracked_program

from taskscheduler import (
    AlreadyRunningError,
    AsyncScheduler,
    DatabaseUnavailableError,
    InvalidDataError,
    InvalidOptionError,
    InvalidStateError,
    JobCanceledError,
    JobNotFoundError,
    JobTimeoutError,
    PayloadTooLargeError,
    Scheduler,
    Status,
)
from taskscheduler.clock import SystemClock
from taskscheduler.operations import programs
from taskscheduler.operations.programs import Record
from taskscheduler.process_identity import boot_id, identify_self, started_at
from taskscheduler.store.programs import ProgramStore
from taskscheduler_daemon.cli import main

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]


def silence(database: Documents, job_id: Any, seconds: float = 1000) -> None:
    """Let the last sign of life be so many seconds ago."""
    earlier = [{"$set": {"alive": {"$subtract": ["$$NOW", seconds * 1000]}}}]
    assert database["taskscheduler.jobs"].update_one({"_id": job_id}, earlier).modified_count == 1


# -- what is seen of it -----------------------------------------------------------------------------------------------


def test_a_program_is_a_job_that_runs_from_the_start_to_the_end_of_the_block(scheduler: Scheduler) -> None:
    with scheduler.track("import", timeout=60, source="ftp") as record:
        seen = scheduler.get_job(record.id)
        assert (seen.job, seen.status, seen.attempt, seen.node) == ("import", Status.PROCESSING, 1, os.uname().nodename)
        assert seen.program == {
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "started": started_at(os.getpid()),
            "boot": boot_id(),
            "space": identify_self()["space"],
            "group": os.getpgrp(),
        }
        assert seen.options["silence_timeout"] == 60
        assert seen.fields == {"source": "ftp"}
        record.update_progress(50, "half")
        record["rows"] = 12
        record.update(rows=13, files=["a", "b"])
        assert record["rows"] == 13
        assert [one.id for one in scheduler.get_jobs({"fields.rows": {"$gt": 5}})] == [record.id]
        assert [one.id for one in scheduler.get_jobs()] == [record.id]
    done = seen.refresh()
    assert (done.status, done.progress, done.message) == (Status.DONE, 100.0, "half")
    assert done.fields == {"source": "ftp", "rows": 13, "files": ["a", "b"]}
    assert done.started is not None
    assert done.ended is not None
    assert done.wait(timeout=30).result_value is None


def test_an_exception_in_the_block_fails_the_record_and_goes_on(scheduler: Scheduler) -> None:
    record = scheduler.track("import", solo=True)
    with pytest.raises(ZeroDivisionError), record:
        1 / 0  # noqa: B018
    failed = scheduler.get_job(record.id)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error["type"] == "ZeroDivisionError"
    assert "1 / 0" in failed.error["traceback"]
    scheduler.track("import", solo=True).start().finish()


def test_it_goes_without_a_block(scheduler: Scheduler) -> None:
    good, bad, worse = (scheduler.track("import").start() for _ in range(3))
    good.finish(result={"rows": 3})
    bad.finish(success=False, result=[1])
    worse.fail("no such host")
    assert scheduler.get_job(good.id).result_value == {"rows": 3}
    assert [scheduler.get_job(one.id).status for one in (good, bad, worse)] == [
        Status.DONE,
        Status.FAILED,
        Status.FAILED,
    ]
    assert scheduler.get_job(bad.id).result_value == [1]
    assert (scheduler.get_job(worse.id).error or {})["message"] == "no such host"
    for wrong in (good.start, good.finish, good.sign_of_life, scheduler.track("import").sign_of_life):
        with pytest.raises(InvalidStateError):
            wrong()


def test_a_limit_of_writes_makes_nobody_silent(scheduler: Scheduler) -> None:
    scheduler.set_options(progress_rate_limit=60_000)
    with scheduler.track("import", timeout=2) as record:
        for _ in range(60):
            record.sign_of_life()
            threading.Event().wait(0.05)
        assert scheduler.end_silent() == []


def test_the_last_value_arrives_although_writes_are_limited(scheduler: Scheduler) -> None:
    with scheduler.track("import") as record:
        for percent in range(100):
            record.update_progress(percent)
        eventually(lambda: scheduler.get_job(record.id).progress == 99.0)


@pytest.mark.parametrize("name", ["", "$set", "a.b", "a\0b"])
def test_a_field_that_cannot_be_one_is_refused(scheduler: Scheduler, name: str) -> None:
    with scheduler.track("import") as record, pytest.raises(InvalidOptionError, match="a field must not be called"):
        record[name] = 1


def test_what_cannot_be_stored_is_refused_and_changes_nothing(scheduler: Scheduler) -> None:
    with scheduler.track("import", rows=1) as record:
        with pytest.raises(InvalidDataError):
            record["rows"] = object()
        with pytest.raises(PayloadTooLargeError):
            record["rows"] = bytes(2_000_000)
        with pytest.raises(ValueError, match="between 0 to 100"):
            record.update_progress(101)
        assert record["rows"] == 1
    assert scheduler.get_job(record.id).fields == {"rows": 1}
    with pytest.raises(InvalidOptionError, match="option timeout"):
        scheduler.track("import", timeout=-1)
    with pytest.raises(InvalidOptionError, match="option solo"):
        scheduler.track("import", solo=7)  # type: ignore[arg-type]


def test_the_twin_for_asyncio(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        async with scheduler.track("import", solo=True, rows=1) as record:
            await record.update_progress(10)
            await record.sign_of_life()
            await record.update(rows=2)
            with pytest.raises(AlreadyRunningError):
                await scheduler.track("import", solo=True).start()
        done = await scheduler.get_job(record.record.id)
        assert (done.status, done.fields) == (Status.DONE, {"rows": 2})
        failed = await scheduler.track("import").start()
        await failed.fail("because")
        finished = await scheduler.track("import").start()
        await finished.finish(result=1)
        assert await scheduler.end_silent() == []
        assert await scheduler.delete_old_jobs(0) == 3

    run(uri, body)


# -- ended by others --------------------------------------------------------------------------------------------------


def test_a_program_hears_that_its_record_was_ended(scheduler: Scheduler, database: Documents) -> None:

    def fall_silent(job_id: Any) -> None:
        silence(database, job_id)
        scheduler.end_silent()

    ways: list[tuple[Callable[[Any], Any], type[Exception]]] = [
        (scheduler.cancel_job, JobCanceledError),
        (scheduler.delete_job, JobNotFoundError),
        (fall_silent, JobTimeoutError),
    ]
    for end, error in ways:
        record = scheduler.track("import").start()
        end(record.id)
        with pytest.raises(error):
            record.update(rows=1)
        with pytest.raises(error), scheduler.track("import") as record:
            end(record.id)  # and it does not ask before it finishes


Ended = tuple[str, type[Exception]]

ENDED: list[Ended] = [("cancel", JobCanceledError), ("delete", JobNotFoundError), ("silence", JobTimeoutError)]


def end_by_others(scheduler: Scheduler, database: Documents, way: str, record: Record) -> None:
    """End a record behind the back of its program, which has a value to write later, and wait until that was tried."""
    record.update_progress(1)  # just after the start, so it is written by a timer
    if way == "cancel":
        scheduler.cancel_job(record.id)
    elif way == "delete":
        scheduler.delete_job(record.id)
    else:
        silence(database, record.id)
        scheduler.end_silent()
    eventually(lambda: not any(isinstance(thread, threading.Timer) for thread in threading.enumerate()))


@pytest.mark.parametrize(("way", "error"), ENDED)
def test_a_program_hears_of_its_end_although_a_delayed_write_found_it(
    scheduler: Scheduler, database: Documents, way: str, error: type[Exception]
) -> None:
    calls: list[Callable[[Record], Any]] = [
        lambda record: record.sign_of_life(),
        lambda record: record.update_progress(2, "two"),
        lambda record: record.update(rows=1),
        lambda record: record.__setitem__("rows", 1),
        lambda record: record.stands_for(1),
        lambda record: record.finish(),
        lambda record: record.fail("no"),
    ]
    solo = way == "cancel"  # whoever deletes a solo one waits until it has heard
    for call in calls:
        record = scheduler.track("import", solo=solo).start()
        end_by_others(scheduler, database, way, record)
        if solo:
            with pytest.raises(AlreadyRunningError):
                scheduler.track("import", solo=True).start()  # the program has not heard yet
        with pytest.raises(error):
            call(record)
        for other in calls:
            with pytest.raises(error):
                other(record)  # another thread of it
    with pytest.raises(error), scheduler.track("import", solo=solo) as record:
        end_by_others(scheduler, database, way, record)
    with scheduler.track("import", solo=solo) as record:
        end_by_others(scheduler, database, way, record)
        with pytest.raises(error):
            record.sign_of_life()  # and so it ends without another error


def test_the_twin_hears_of_its_end_although_a_delayed_write_found_it(
    uri: str, scheduler: Scheduler, database: Documents
) -> None:
    async def body(twin: AsyncScheduler) -> None:
        for way, error in ENDED:
            with pytest.raises(error):
                async with twin.track("import") as record:
                    end_by_others(scheduler, database, way, record.record)

    run(uri, body)


def report_for_ever(record: Record) -> None:
    while True:
        record.update_progress(1)


def test_a_program_that_reports_all_the_time_hears_of_its_end(scheduler: Scheduler) -> None:
    for number in range(5):
        record = scheduler.track("busy").start()
        canceller = threading.Timer(0.3 + number / 10, scheduler.cancel_job, [record.id])
        canceller.start()
        with pytest.raises(JobCanceledError):
            report_for_ever(record)
        canceller.join()


def test_the_end_by_others_is_heard_of_although_the_database_fails_meanwhile(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = scheduler.track("import").start()
    scheduler.cancel_job(record.id)
    with monkeypatch.context() as failing:
        failing.setattr(ProgramStore, "release_lock", lambda *_: (_ for _ in ()).throw(AutoReconnect("gone")))
        with pytest.raises(DatabaseUnavailableError):
            record.update(rows=1)
    with pytest.raises(JobCanceledError):
        record.update(rows=1)


def test_the_record_of_a_silent_program_is_ended(scheduler: Scheduler, database: Documents) -> None:
    silent, alive, endless = (scheduler.track("import", timeout=one).start() for one in (5, 500, 0))
    silence(database, silent.id, 6)
    silence(database, alive.id, 400)
    silence(database, endless.id, 10**6)
    assert scheduler.end_silent("another") == []
    assert [one.id for one in scheduler.end_silent()] == [silent.id]
    ended = scheduler.get_job(silent.id)
    assert ended.status is Status.TIMEOUT
    assert ended.error == {"type": "SilenceError", "message": "no sign of life for 5 s"}
    with pytest.raises(JobTimeoutError, match="no sign of life for 5 s"):
        ended.result()
    assert scheduler.get_job(alive.id).status is Status.PROCESSING


def test_nodes_end_silent_records_and_nothing_else_of_them(
    scheduler: Scheduler, database: Documents, start_node: StartNode
) -> None:
    alive, silent = scheduler.track("import").start(), scheduler.track("import", timeout=1).start()
    start_node(orphaned_timeout=1)
    eventually(lambda: scheduler.get_job(silent.id).status is Status.TIMEOUT, 20)
    assert scheduler.restore() == 0
    alive.sign_of_life()
    alive.finish()


def test_a_record_cannot_be_tried_again(scheduler: Scheduler) -> None:
    with scheduler.track("import") as record:
        pass
    with pytest.raises(InvalidStateError, match="only that program"):
        scheduler.retry_job(record.id)


def test_old_jobs_are_deleted_by_age_and_class(scheduler: Scheduler, database: Documents) -> None:
    old, young, other = (scheduler.track(name).start() for name in ("import", "import", "export"))
    running = scheduler.track("import").start()
    for one in (old, young, other):
        one.finish()
    earlier = [{"$set": {"ended": {"$subtract": ["$$NOW", 61 * 1000]}}}]
    database["taskscheduler.jobs"].update_many({"_id": {"$in": [old.id, other.id]}}, earlier)
    assert scheduler.delete_old_jobs(60, "import") == 1
    assert scheduler.delete_old_jobs(60) == 1
    assert {one.id for one in scheduler.get_jobs({})} == {young.id, running.id}


def test_no_age_means_all_that_have_ended_by_the_servers_clock(uri: str) -> None:
    """What a process knows of that clock was on its way for a while when it was read."""

    class Slow(SystemClock):
        def monotonic(self) -> float:
            return super().monotonic() / 2

    with Scheduler(uri, clock=Slow()) as scheduler:
        scheduler.track("import").start().finish()
        assert scheduler.delete_old_jobs(0) == 1


# -- without a database -----------------------------------------------------------------------------------------------

Away = tuple[Scheduler, Callable[[], None], Callable[[], None]]


@pytest.fixture
def away(uri: str) -> Iterator[Away]:
    """A scheduler whose way to the database can be cut, and healed again."""
    port = port_of(uri)
    with Proxies([port]) as proxies, Scheduler(through(proxies, uri, 300)) as scheduler:
        yield scheduler, lambda: proxies.cut(port), lambda: proxies.heal(port)


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_the_end_of_a_record_is_stored_when_the_database_is_back(
    scheduler: Scheduler, away: Away, error: type[Exception] | None
) -> None:
    distant, cut, heal = away
    back = threading.Timer(2.0, heal)
    with suppress(ZeroDivisionError), distant.track("import", solo=True, rows=1) as record:
        record.update_progress(50)
        record.update_progress(60)
        cut()
        back.start()
        if error is not None:
            raise error
    back.join()
    ended = scheduler.get_job(record.id)
    assert ended.status is (Status.FAILED if error else Status.DONE)
    assert ended.progress == (60 if error else 100)
    scheduler.track("import", solo=True).start().finish()


def test_an_end_that_was_stored_without_an_answer_is_known_again(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, end, ends = scheduler.track("import", solo=True).start(), ProgramStore._end, []

    def unanswered(self: ProgramStore, *given: Any) -> bool:
        ends.append(end(self, *given))
        if len(ends) == 1:
            raise AutoReconnect("connection closed")
        return ends[-1]

    monkeypatch.setattr(ProgramStore, "_end", unanswered)
    record.finish(result=3)
    assert ends == [True, False]
    assert scheduler.get_job(record.id).result_value == 3
    scheduler.track("import", solo=True).start().finish()


def test_what_others_made_of_a_record_is_not_taken_for_its_end(scheduler: Scheduler, away: Away) -> None:
    distant, cut, heal = away
    record = distant.track("import").start()
    cut()
    scheduler.cancel_job(record.id)
    back = threading.Timer(1.0, heal)
    back.start()
    with pytest.raises(JobCanceledError):
        record.finish()
    back.join()


def test_an_end_that_cannot_be_stored_is_told_after_a_while(away: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATIENCE", 1.0)
    distant, cut, _ = away
    records = [distant.track("import").start() for _ in range(2)]
    cut()
    with pytest.raises(DatabaseUnavailableError), records[0]:
        pass
    with pytest.raises(ZeroDivisionError) as caught, records[1]:
        1 / 0  # noqa: B018
    assert caught.value.__notes__[0].startswith(f"The end of record {records[1].id} was not stored: ")


def test_who_is_interrupted_tries_to_store_the_end_once(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def unanswered(*_: Any) -> bool:
        tries.append(1)
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(ProgramStore, "end", unanswered)
    with pytest.raises(KeyboardInterrupt), scheduler.track("import"):
        raise KeyboardInterrupt
    assert len(tries) == 1


@pytest.fixture
def command(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command in this process: exit code, output, standard error."""
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_silent_program_of_this_host_is_signalled_and_nobody_else(
    scheduler: Scheduler, database: Documents, uri: str, command: Callable[..., Any]
) -> None:
    jobs = database["taskscheduler.jobs"]
    with ExitStack() as stack:
        programs = [stack.enter_context(tracked_program(uri, "import")) for _ in range(4)]
        ids = []
        for program in programs:
            program.told()
            ids.append(ObjectId(program.says().split()[1]))
        for job_id in ids:
            silence(database, job_id)
        jobs.update_one({"_id": ids[1]}, {"$set": {"program.host": "elsewhere"}})
        jobs.update_one({"_id": ids[2]}, {"$set": {"program.boot": "before"}})
        jobs.update_one({"_id": ids[3]}, {"$inc": {"program.started": -1}})  # its pid has been given to another one
        code, out, _ = command("end-silent", "--signal", "term", "import")
        assert code == 0
        assert out.endswith("Ended 4 jobs.\n")
        assert f"{ids[0]} ended: no sign of life for 300 s; its program, pid {programs[0].process.pid}, was sig" in out
        assert f"{ids[1]} ended: no sign of life for 300 s; not signalled: its program ran on elsewhere" in out
        assert "is gone" in out.split(str(ids[3]))[1]
        assert programs[0].process.wait(30) == -signal.SIGTERM
        assert [program.process.poll() for program in programs[1:]] == [None, None, None]
    assert command("end-silent")[:2] == (0, "Ended 0 jobs.\n")
    code, _, error = command("end-silent", "--signal", "NOPE")
    assert (code, "'NOPE' is not a signal" in error) == (2, True)


def test_the_command_deletes_old_jobs_when_told_so(scheduler: Scheduler, command: Callable[..., Any]) -> None:
    with scheduler.track("import", rows=3) as record:
        pass
    assert command("delete-old", "--age", "0")[0] == 5
    assert command("delete-old", "--age", "60d", "--yes")[:2] == (0, "Deleted 0 jobs.\n")
    assert '{"rows": 3}' in command("show", str(record.id), "-o", "table")[1]
    assert command("delete-old", "--age", "0", "--yes", "another")[:2] == (0, "Deleted 0 jobs.\n")
    assert command("delete-old", "--age", "0", "--yes", "import")[:2] == (0, "Deleted 1 jobs.\n")


# -- solo -------------------------------------------------------------------------------------------------------------


def test_of_many_programs_that_start_at_once_one_runs(scheduler: Scheduler, uri: str) -> None:
    with ExitStack() as stack:
        programs = [stack.enter_context(tracked_program(uri, "import", '{"solo": true}')) for _ in range(6)]
        for program in programs:
            program.told()
        said = [program.says() for program in programs]
        winner = next(program for program, word in zip(programs, said, strict=True) if word.startswith("started"))
        refused = [word for word in said if word.startswith("refused")]
        assert len(refused) == 5
        expected = (
            r"refused A job of type import is already running solo since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC "
            rf"with id [0-9a-f]{{24}} and pid {winner.process.pid} on \S+\."
        )
        assert all(re.fullmatch(expected, word) for word in refused)
        winner.told()
        assert winner.process.wait(30) == 0
    scheduler.track("import", solo=True).start().finish()


def test_a_killed_program_of_another_host_blocks_no_longer_than_its_timeout(
    scheduler: Scheduler, database: Documents, uri: str
) -> None:
    def killed() -> ObjectId:
        with tracked_program(uri, "import", '{"solo": true, "timeout": 300}') as program:
            program.told()
            job_id = ObjectId(program.says().split()[1])
            database["taskscheduler.jobs"].update_one({"_id": job_id}, {"$set": {"program.host": "elsewhere"}})
            program.kill()
            return job_id

    held = killed()
    for seconds in (0, 200):
        silence(database, held, seconds)
        assert scheduler.end_silent() == []
        with pytest.raises(AlreadyRunningError) as caught:
            scheduler.track("import", solo=True).start()
        assert caught.value.process.id == held
    silence(database, held, 301)
    assert [one.id for one in scheduler.end_silent()] == [held]

    silence(database, killed(), 301)
    scheduler.track("import", solo=True).start().finish()  # no node runs: the starter ends the silent one itself


def test_programs_and_jobs_of_a_key_exclude_each_other(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path, until = tmp_path / "running", tmp_path / "until"
    start_node()
    with scheduler.track("import", solo="key"):
        job = scheduler.add_job("wait", {"trace": str(path), "until": str(until)}, solo="key")
        assert job.refresh().status is Status.POSTPONED
    eventually(lambda: traces(path), 20, "whoever ends the record lets the job in")
    with pytest.raises(AlreadyRunningError, match="type wait is already running solo"):
        scheduler.track("import", solo="key").start()
    until.touch()
    job.wait(timeout=20, throw=True)
    scheduler.track("import", solo="key").start().finish()


def test_a_cancelled_program_keeps_its_turn_until_it_has_heard_of_it(scheduler: Scheduler) -> None:
    first = scheduler.track("import", solo=True).start()
    scheduler.cancel_job(first.id)
    with pytest.raises(AlreadyRunningError):
        scheduler.track("import", solo=True).start()
    with pytest.raises(JobCanceledError):
        first.update()
    scheduler.track("import", solo=True).start().finish()
