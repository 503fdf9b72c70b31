"""`taskscheduler exec`: any command as a job, with its output, exit code and signals, ended when it is cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.proxy import Proxies, port_of, through
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import is_running

from taskscheduler import Process, Scheduler, Status
from taskscheduler_daemon.programs.output import LONGEST_TAIL

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())", "exec"]
Start = Callable[..., "subprocess.Popen[str]"]
Gone = tuple["subprocess.Popen[str]", Process, Callable[[], None]]


@pytest.fixture
def start(uri: str) -> Iterator[Start]:
    """Starts the command; whatever is left of it in the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        environment = {**os.environ, "TASKSCHEDULER_URI": uri}
        started.append(
            commands.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def running(scheduler: Scheduler) -> Process:
    return eventually(lambda: next(scheduler.get_jobs(), None), 20, "the record")


def only(scheduler: Scheduler) -> Process:
    [job] = scheduler.get_jobs({})
    return job


def test_output_and_exit_code_pass_through_and_are_stored(scheduler: Scheduler, start: Start) -> None:
    script = "read word; echo got $word; echo beside >&2"
    process = start("--name", "greeting", "--field", "rows=3", "--field", "who=me", "--", "sh", "-c", script)
    assert process.communicate("hello\n", timeout=30) == ("got hello\n", "beside\n")
    assert process.returncode == 0
    job = only(scheduler)
    assert (job.job, job.status) == ("greeting", Status.DONE)
    assert job.fields == {"command": ["sh", "-c", script], "rows": 3, "who": "me"}
    assert sorted(job.result_value["output"].splitlines()) == ["beside", "got hello"]
    assert (job.result_value["exit_code"], job.result_value["output_bytes"]) == (0, 17)


def test_what_a_command_costs_is_stored_however_it_ends(scheduler: Scheduler, start: Start) -> None:
    burning = "import time\nheld = b'x' * (1 << 26)\nwhile time.process_time() < 0.3: pass\nraise SystemExit(3)"
    process = start("--", sys.executable, "-S", "-c", burning)
    assert process.wait(60) == 3
    [cost] = only(scheduler).attempts
    assert 0.25 < cost["cpu"] < cost["wall"] + 1
    assert cost["peak_memory"] > 1 << 26


def test_a_secret_in_the_arguments_reaches_the_command_but_not_the_database(scheduler: Scheduler, start: Start) -> None:
    process = start("--", "sh", "-c", 'echo "$2"', "sh", "--token", "hunter2", "mongodb://u:hunter2@h/d")
    assert process.communicate(timeout=30) == ("hunter2\n", "")
    assert only(scheduler).fields["command"] == [
        "sh", "-c", 'echo "$2"', "sh", "--token", "***", "mongodb://u:***@h/d"
    ]  # fmt: skip


def test_the_output_goes_nowhere_where_streams_are_closed(scheduler: Scheduler, uri: str) -> None:
    """Least of all into the connection to the database, which would have taken their numbers."""
    script = "cat; for number in 0 1 2; do readlink /proc/$PPID/fd/$number; done; echo err >&2"
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *COMMAND, "--", "sh", "-c", script]
    done = commands.run(closed, env={**os.environ, "TASKSCHEDULER_URI": uri}, timeout=40, check=False)
    assert done.returncode == 0
    job = only(scheduler)
    assert (job.status, sorted(job.result_value["output"].split())) == (Status.DONE, [*["/dev/null"] * 3, "err"])


def test_a_command_that_fails_fails_its_job(scheduler: Scheduler, start: Start) -> None:
    process = start("sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo end; exit 3")
    out, error = process.communicate(timeout=30)
    assert (process.returncode, len(out), error) == (3, 200_004, "")
    job = only(scheduler)
    assert (job.job, job.status) == ("sh", Status.FAILED)
    assert job.error == {"exit_code": 3, "type": "ProgramError", "message": "exit code 3"}
    assert len(job.result_value["output"]) == LONGEST_TAIL
    assert job.result_value["output"].endswith("xend\n")


@pytest.mark.parametrize(("name", "code", "reason"), [("no-such-command", 127, "command not found"), ("/", 126, "")])
def test_what_cannot_be_run_is_said_in_one_line(
    scheduler: Scheduler, start: Start, name: str, code: int, reason: str
) -> None:
    process = start("--name", "none", "--", name)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error.count("\n")) == (code, 1)
    assert error.startswith(f"taskscheduler exec: {name}: {reason}")
    assert only(scheduler).status is Status.FAILED


@pytest.mark.parametrize("arguments", [(), ("--field", "x", "true"), ("--silence", "1", "true")])
def test_wrong_use_is_refused_before_anything_runs(scheduler: Scheduler, start: Start, arguments: tuple[str]) -> None:
    process = start(*arguments)
    assert process.communicate(timeout=30)[1].count("\n") == 1
    assert process.returncode == 2
    assert list(scheduler.get_jobs({})) == []


def test_signals_are_passed_on(scheduler: Scheduler, start: Start) -> None:
    for number, code in ((signal.SIGTERM, 7), (signal.SIGINT, 9)):
        process = start("sh", "-c", "trap 'exit 7' TERM; trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(20) == code
    process = start("sh", "-c", "kill -9 $$")
    assert process.wait(30) == 128 + 9
    assert [(job.error or {})["message"] for job in scheduler.get_jobs({})][-1] == "killed by SIGKILL"


def test_a_solo_command_runs_once_at_a_time(scheduler: Scheduler, start: Start) -> None:
    first = start("--solo", "--name", "import", "cat")
    job = running(scheduler)
    second = start("--solo", "--name", "import", "echo", "never")
    out, error = second.communicate(timeout=30)
    assert (second.returncode, out) == (75, "")
    assert error.startswith("taskscheduler exec: A job of type import is already running solo since ")
    assert f"with id {job.id} and pid {first.pid} on " in error
    first.communicate("", timeout=30)
    assert first.returncode == 0
    third = start("--solo", "--name", "import", "true")
    assert third.wait(30) == 0


def test_a_cancelled_command_is_ended_with_all_that_it_has_started(
    scheduler: Scheduler, start: Start, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    process = start("--solo", "sh", "-c", f"trap '' TERM; sleep 1000 & echo $$ $! > {pids}; while :; do sleep 1; done")
    below = [int(pid) for pid in eventually(lambda: pids.exists() and pids.read_text().split(), 20)]
    running(scheduler).cancel()
    _, error = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL
    assert "was cancelled; the command was ended" in error
    eventually(lambda: not any(is_running(pid) for pid in below), 30)
    assert only(scheduler).status is Status.CANCELED


def test_what_leaves_the_process_group_goes_on_without_the_command(
    scheduler: Scheduler, start: Start, tmp_path: Path
) -> None:
    pidfile = tmp_path / "pid"
    process = start("--solo", "sh", "-c", f"setsid sleep 1000 & echo $! > {pidfile}; sleep 1000")
    pid = int(eventually(lambda: pidfile.exists() and pidfile.read_text(), 20))
    try:
        eventually(lambda: os.getsid(pid) == pid, 30, "a session of its own")
        running(scheduler).cancel()
        assert process.wait(20) == 128 + signal.SIGTERM
        assert is_running(pid)
        assert start("--solo", "--name", "sh", "true").wait(20) == 0, "it has no turn, either"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_command_that_takes_too_long_is_ended(scheduler: Scheduler, start: Start) -> None:
    process = start("--timeout", "0.5", "sleep", "1000")
    assert "ran longer than 0.5 s" in process.communicate(timeout=30)[1]
    assert process.returncode == 124
    assert "ran longer than 0.5 s" in (only(scheduler).error or {})["message"]


def test_a_lost_database_does_not_end_the_command(scheduler: Scheduler, start: Start, uri: str, tmp_path: Path) -> None:
    port = port_of(uri)
    with Proxies([port]) as proxies:
        way = through(proxies, uri, 500)
        until = tmp_path / "until"
        process = start(
            "-u", way, "--silence", "3", "sh", "-c", f"echo ready; while ! test -e {until}; do sleep 0.05; done; exit 4"
        )
        job = running(scheduler)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        proxies.cut(port)
        assert process.stderr is not None
        assert any("the command goes on" in line for line in process.stderr)
        proxies.heal(port)
        alive = job.refresh().alive
        eventually(lambda: job.refresh().alive != alive, 20, "a new sign of life")
        until.touch()
        assert process.wait(30) == 4
    assert (job.refresh().error or {})["exit_code"] == 4


@pytest.fixture
def gone(scheduler: Scheduler, start: Start, uri: str, tmp_path: Path) -> Iterator[Gone]:
    """A command that has ended with code 4 while the database was away, and how to bring that back."""
    port = port_of(uri)
    until = tmp_path / "until"
    with Proxies([port]) as proxies:
        way = through(proxies, uri, 300)
        process = start("-u", way, "sh", "-c", f"echo ready; while ! test -e {until}; do sleep 0.05; done; exit 4")
        job = running(scheduler)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        proxies.cut(port)
        until.touch()
        assert process.stderr is not None
        assert any("the end of the command is not stored yet" in line for line in process.stderr)
        yield process, job, lambda: proxies.heal(port)


def test_the_end_of_a_command_is_stored_when_the_database_is_back(gone: Gone) -> None:
    process, job, heal = gone
    assert process.poll() is None
    heal()
    assert process.wait(30) == 4
    assert (job.refresh().error or {})["exit_code"] == 4


def test_who_does_not_want_to_wait_for_the_database_interrupts_that(gone: Gone) -> None:
    process, job, _ = gone
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "the end of the command was not stored: no answer from the database" in error
    assert job.refresh().status is Status.PROCESSING, "until it is seen to be gone"


def test_who_kills_the_supervisor_ends_the_command(start: Start, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    process = start("sh", "-c", f"echo $$ > {pidfile}; exec sleep 1000")
    pid = int(eventually(lambda: pidfile.exists() and pidfile.read_text(), 20))
    process.kill()
    try:
        eventually(lambda: not is_running(pid), 30)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_command_sees_that_nobody_reads_it_any_more(scheduler: Scheduler, start: Start) -> None:
    process = start("yes")
    assert process.stdout is not None
    assert process.stdout.readline() == "y\n"
    process.stdout.close()
    assert process.wait(20) == 128 + signal.SIGPIPE
    assert only(scheduler).error["message"] == "killed by SIGPIPE"  # type: ignore[index]
