"""A program that was killed gives its turn up at once where its host can know, and keeps it where anything is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess, is_running
from tests.support.programs import Program, tracked_program

from taskscheduler import AlreadyRunningError, Process, Record, Scheduler, Status

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]
EXEC = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())", "exec"]
SOLO = '{"solo": true, "timeout": 0}'


@pytest.fixture
def program(uri: str) -> Iterator[Program]:
    """A solo program that never counts as silent, in a process group of its own."""
    with tracked_program(uri, "import", SOLO, process_group=0) as program:
        yield program


def begun(program: Program) -> ObjectId:
    """The id of its record, which has started."""
    program.told()
    return ObjectId(program.says().split()[1])


def another(scheduler: Scheduler, name: str = "import") -> Record:
    return scheduler.track(name, solo=True).start()


def test_a_program_that_was_killed_is_known_to_be_gone_by_the_next_one(scheduler: Scheduler, program: Program) -> None:
    job_id = begun(program)
    with pytest.raises(AlreadyRunningError):
        another(scheduler)
    program.kill()
    another(scheduler).finish()
    lost = scheduler.get_job(job_id)
    assert lost.status is Status.FAILED
    assert lost.error == {
        "type": "ProgramLostError",
        "message": f"its program, pid {program.process.pid} on {os.uname().nodename}, is gone",
    }
    assert scheduler.end_silent() == []


@pytest.mark.parametrize("elsewhere", [{"program.host": "elsewhere"}, {"program.space": "pid:[1]"}])
def test_nobody_judges_the_programs_of_other_hosts_and_containers(
    scheduler: Scheduler, database: Documents, program: Program, elsewhere: dict[str, Any]
) -> None:
    job_id = begun(program)
    database["taskscheduler.jobs"].update_one({"_id": job_id}, {"$set": elsewhere})
    program.kill()
    with pytest.raises(AlreadyRunningError):
        another(scheduler)
    assert scheduler.end_silent() == []
    assert scheduler.get_job(job_id).status is Status.PROCESSING


def test_a_program_that_was_cancelled_and_killed_has_no_turn(scheduler: Scheduler, program: Program) -> None:
    scheduler.cancel_job(begun(program))
    job = scheduler.add_job("noop", solo="import")
    with pytest.raises(AlreadyRunningError):
        another(scheduler)
    program.kill()
    scheduler.store.sweeps.sweep()  # as every node of its host does
    assert job.refresh().status is Status.WAITING
    job.cancel()
    another(scheduler).finish()


def test_nodes_end_the_records_of_programs_that_are_gone_from_their_host(
    scheduler: Scheduler, uri: str, start_node: StartNode
) -> None:
    start_node(orphaned_timeout=1)
    alive = scheduler.track("import", timeout=0).start()
    with tracked_program(uri, "import", '{"timeout": 0}', process_group=0) as program:
        lost = scheduler.get_job(begun(program))
        program.kill()
    eventually(lambda: lost.refresh().status is Status.FAILED, 20)
    alive.finish()


def test_a_fork_that_goes_on_with_a_record_keeps_it(scheduler: Scheduler, uri: str, tmp_path: Path) -> None:
    """Which process stands for it is not known any more, so only silence ends it."""
    script = f"""
import os, sys
from taskscheduler import Scheduler
record = Scheduler({uri!r}).track("import", solo=True, timeout=0).start()
print(record.id, flush=True)
sys.stdin.readline()
if os.fork() == 0:
    os.setsid()
    record.update(forked=True)
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
sys.stdin.read()
"""
    pipe = subprocess.PIPE
    with commands.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            job = scheduler.get_job(ObjectId(process.stdout.readline().strip()))
            process.stdin.write("\n")
            process.stdin.flush()
            fork = int(process.stdout.readline())
            process.kill()
            process.wait(30)
            with pytest.raises(AlreadyRunningError):
                another(scheduler)
            assert job.refresh().fields == {"forked": True}
            os.kill(fork, signal.SIGKILL)
        finally:
            process.kill()


# -- exec -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(uri: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a solo command that is called `import`; it has no limit of silence."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "TASKSCHEDULER_URI": uri}
        options = ["--solo", "--silence", "0", "--name", "import", "--"]
        pipe = subprocess.PIPE
        started.append(
            commands.Popen(
                [*EXEC, *options, *arguments], stdout=pipe, stderr=pipe, text=True, env=environment, process_group=0
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def supervised(scheduler: Scheduler) -> Process:
    """The record, once it tells which processes stand for it."""

    def known() -> Process | None:
        found = next(scheduler.get_jobs(), None)
        return found if found is not None and (found.program or {})["group"] else None

    return eventually(known, 20, "the group of the command")


def test_a_supervisor_that_was_killed_leaves_its_turn_when_the_command_has_ended(
    scheduler: Scheduler, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("sleep", "1000")
    job = supervised(scheduler)
    assert scheduler.end_silent() == []
    process.kill()
    process.wait(30)
    eventually(lambda: scheduler.end_silent(), 20)
    assert (job.refresh().error or {})["type"] == "ProgramLostError"
    another(scheduler).finish()


def test_a_command_that_outlives_its_supervisor_keeps_the_turn(
    scheduler: Scheduler, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    process = start("sh", "-c", f"trap '' TERM; sleep 1000 & echo $$ $! > {pids}; while :; do sleep 0.1; done")
    supervised(scheduler)
    below = [int(pid) for pid in eventually(lambda: pids.exists() and pids.read_text().split(), 20)]
    process.kill()
    process.wait(30)
    try:
        for pid in below:
            assert is_running(pid)
            with pytest.raises(AlreadyRunningError):
                another(scheduler)
            os.kill(pid, signal.SIGKILL)
    finally:
        for pid in filter(is_running, below):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: scheduler.end_silent(), 20)
    another(scheduler).finish()
