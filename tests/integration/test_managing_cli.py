"""The commands that manage jobs and nodes: what they print, refuse and answer with their exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support import commands
from tests.support.jobs import Noop
from tests.support.mistakes import Mistaken

from taskscheduler import Scheduler, SchedulerError, Status
from taskscheduler.store.attempts.claiming import claim_update
from taskscheduler.store.counts import by_name
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.background import start_node, stop_node
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.system.pidfile import Pidfile

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"]
Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: exit code, lines of output, standard error."""
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: object) -> tuple[int, list[str], str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


def test_retry_tells_what_waits_again_and_what_cannot(run: Run, scheduler: Scheduler) -> None:
    ended, live = scheduler.add_job("Mail"), scheduler.add_job("Mail")
    ended.cancel()
    code, out, error = run("retry", ended.id, live.id)
    assert (code, out) == (1, ["ID\tSTATE", f"{ended.id}\twaiting"])
    assert error == f"taskscheduler: job {live.id} is waiting; only a job that has ended can be tried again\n"
    assert run("retry", live.id)[0] == 5
    assert run("retry", ObjectId())[0] == 3


def test_edit_gives_only_what_somebody_can_decide(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail")
    assert run("edit", job.id, "canceled")[:2] == (0, ["ID\tSTATE", f"{job.id}\tcanceled"])
    assert run("edit", job.id, "waiting")[:2] == (0, ["ID\tSTATE", f"{job.id}\twaiting"])
    for status in ("running", "postponed", "done", "finished", "failed", "timeout"):
        code, out, error = run("edit", job.id, status)
        assert (code, out) == (5, [])
        assert error.startswith("taskscheduler: a job cannot be marked as ")
    assert run("edit", job.id, "nonsense")[0] == 2
    assert run("edit", "5f5f5f5f5f5f5f5f5f5f5f5f", "waiting")[:2] == (3, [])
    scheduler.store.jobs.collection.update_one({"_id": job.id}, {"$set": {"status": int(Status.DONE)}})
    code, _, error = run("edit", job.id, "canceled")
    assert (code, "is done; only a job that has not ended" in error) == (5, True)


def test_delete_asks_and_then_deletes(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail")
    code, out, error = run("delete", job.id)
    assert (code, out) == (5, [])
    assert error == "taskscheduler: nothing was deleted: no terminal to ask for confirmation; use --yes\n"
    assert run("delete", job.id, ObjectId(), "--yes")[:2] == (1, [f"job {job.id} deleted"])
    assert run("delete", job.id, "--yes")[0] == 3


def test_restore_asks_and_then_takes_back_what_lost_nodes_hold(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail")
    scheduler.store.jobs.collection.update_one({"_id": job.id}, claim_update("claim", ObjectId(), "gone"))
    assert run("restore")[0] == 5
    assert job.refresh().status is Status.PROCESSING
    assert run("restore", "--yes") == (0, ["1 job requeued"], "")
    assert job.refresh().status is Status.WAITING
    boot = ObjectId()
    scheduler.store.nodes.register(boot, {"name": "web-1", "lease": 3600})
    scheduler.store.jobs.collection.update_one({"_id": job.id}, claim_update("claim", boot, "web-1"))
    code, out, error = run("restore", "--yes")
    assert (code, out) == (0, ["0 jobs requeued"])
    assert error == "jobs whose nodes are not lost are left alone: 1 running\n"


def test_flush_takes_a_queue(run: Run, scheduler: Scheduler) -> None:
    kept = scheduler.add_job("Mail")
    scheduler.add_job("Mail", queue="bulk")
    assert run("flush", "--queue", "bulk", "--yes")[:2] == (0, ["1 job deleted"])
    assert [job.id for job in scheduler.get_jobs()] == [kept.id]


def test_counts_are_printed_per_name_and_status(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("B", 1), ("A", 1), ("A", 2, {"queue": "bulk"})])
    code, out, _ = run("counts")
    assert (code, out) == (
        0,
        [
            "JOB\tWAITING\tPOSTPONED\tPROCESSING\tDONE\tFAILED\tCANCELED\tTIMEOUT",
            "A\t2\t0\t0\t0\t0\t0\t0",
            "B\t1\t0\t0\t0\t0\t0\t0",
        ],
    )
    found = json.loads("".join(run("counts", "--by", "queue", "-o", "json")[1]))
    assert {name: counts["waiting"] for name, counts in found.items()} == {"bulk": 1, "default": 2}


def test_of_many_jobs_some_are_counted_unless_all_are_wanted(
    run: Run, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        scheduler.add_job(Noop)
    with InlineNode(scheduler) as node:
        node.run_due()
    for _ in range(2):
        scheduler.add_job(Noop)
    monkeypatch.setattr(by_name, "FEW", 4)
    monkeypatch.setattr(by_name, "MOST", 2)
    code, out, error = run("-o", "table", "counts")
    assert (code, out[1].split()) == (0, ["noop", "2", "0", "0", "3+", "0", "0", "0"])
    assert "are counted: done; --all counts every job" in error
    assert run("counts", "--all")[1:] == (
        ["JOB\tWAITING\tPOSTPONED\tPROCESSING\tDONE\tFAILED\tCANCELED\tTIMEOUT", "noop\t2\t0\t0\t3\t0\t0\t0"],
        "",
    )
    scheduler.store.jobs.collection.drop_index("retention_done")
    assert run("counts")[1][1] == "noop\t2\t0\t0\t3\t0\t0\t0"


def test_failures_are_printed_by_mistake(run: Run, scheduler: Scheduler) -> None:
    for number in (0, 3, 1):
        scheduler.add_job(Mistaken, number)
    with InlineNode(scheduler) as node:
        node.run_due()
    often, seldom = scheduler.failures()
    code, out, error = run("failures")
    assert (code, error) == (0, "")
    assert out[0].split("\t") == ["FINGERPRINT", "COUNT", "FIRST", "LAST", "JOB", "PLACE", "EXAMPLE", "ERROR"]
    cells = [line.split("\t") for line in out[1:]]
    place = "mistakes.py:15 in Mistaken.start"
    assert cells[0][:2] + cells[0][4:7] == [often.fingerprint, "2", "mistaken", place, str(often.example)]
    assert cells[1][7] == "ValueError: worse 1"
    assert cells[1][2] == seldom.first.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert run("failures", "-o", "id")[1] == [often.fingerprint, seldom.fingerprint]
    table = run("failures", "-o", "table", "--since", "1h", "--job", "mistaken")[1]
    assert [line.split()[0] for line in table] == ["FINGERPRINT", often.fingerprint, seldom.fingerprint]
    assert re.search(r" ago +mistaken ", table[1])
    assert run("failures", "--job", "nobody", "-o", "json")[1] == ["[]"]
    assert run("failures", "--since", "0", "-o", "id")[1] == []
    assert "only the 1 mistake seen last; --limit shows more" in run("failures", "--limit", "1")[2]
    assert run("failures", "--limit", "1001")[0] == run("failures", "--since", "long")[0] == 2
    shown = run("show", often.example)[1]
    assert any(line.split() == ["mistake", often.fingerprint] for line in shown)


def test_list_is_ordered_as_asked(run: Run, scheduler: Scheduler) -> None:
    jobs = [scheduler.add_job("Mail", queue=queue, at=at) for queue, at in (("b", 0), ("a", 2**31), ("b", 0))]
    orders = {"date": [2, 1, 0], "queue": [1, 2, 0], "status": [2, 0, 1]}
    for order, expected in orders.items():
        assert run("list", "--order", order, "-o", "id")[1] == [str(jobs[number].id) for number in expected]
    assert run("list", "--order", "foobar")[0] == 2
    code, _, error = run("list", "--follow")
    assert (code, "draws on a terminal" in error) == (2, True)


def test_list_is_drawn_anew_on_a_terminal(uri: str, scheduler: Scheduler) -> None:
    scheduler.add_job("First")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TASKSCHEDULER_URI": uri, "TERM": "xterm"}
    process = commands.Popen([*COMMAND, "list", "-f"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        _read_until(ours, b"First")
        scheduler.add_job("Second")
        _read_until(ours, b"Second")
    finally:
        process.kill()
        process.wait(30)
        os.close(ours)


def _read_until(descriptor: int, text: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 20
    while text not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([descriptor], [], [], 0.2)[0]:
            seen += os.read(descriptor, 4096)


# -- nodes in the background ------------------------------------------------------------------------------------------


@pytest.fixture
def pidfile(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "node.pid"
    yield path
    stop_node(path)


def test_a_node_runs_in_the_background_until_it_is_stopped_by_its_pidfile(
    run: Run, scheduler: Scheduler, uri: str, pidfile: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"jobs": ["tests.support.jobs"], "max_children": 1}
    assert start_node(pidfile, uri, tmp_path / "log", **options) is True
    owner = Pidfile(pidfile).owner()
    assert owner is not None
    assert {file.stat().st_mode & 0o777 for file in (pidfile, tmp_path / "log")} == {0o600}
    assert os.getsid(owner) not in (owner, os.getsid(0))  # nobody who could get a terminal again
    assert scheduler.add_job("echo", 5).result(20)["data"] == 5
    assert "node ready" in (tmp_path / "log").read_text()
    assert start_node(pidfile, uri) is False
    code, _, error = run("node", "--pidfile", pidfile)
    assert (code, error) == (1, f"taskscheduler: {pidfile} is in use: process {owner} runs\n")
    assert run("node", "stop", "--pidfile", pidfile)[:2] == (0, ["node stopped"])
    assert not pidfile.exists()
    assert scheduler.store.nodes.all() == []
    assert run("node", "stop", "--pidfile", pidfile)[0] == 3


_STARTER = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from taskscheduler_daemon import start_node
barrier = threading.Barrier(2)
def start(_):
    barrier.wait()
    return start_node(sys.argv[1], sys.argv[2], jobs=["tests.support.jobs"], max_children=1)
sys.stdin.readline()
with ThreadPoolExecutor(2) as pool:
    print(*sorted(pool.map(start, range(2))))
"""


def test_of_callers_that_start_a_node_at_once_one_starts_it_and_none_fails(uri: str, pidfile: Path) -> None:
    command = [sys.executable, "-c", _STARTER, str(pidfile), uri]
    pipe = subprocess.PIPE
    starters = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    answers = [starter.communicate(timeout=60) for starter in starters]
    assert [error for _, error in answers] == ["", ""]
    assert sorted(" ".join(said for said, _ in answers).split()) == ["False", "False", "False", "True"]
    assert start_node(pidfile, uri) is False


def test_a_node_is_started_once_another_start_has_failed(uri: str, pidfile: Path) -> None:
    taken = Pidfile(pidfile)
    taken.acquire()  # as a start that has not named its process yet
    failing = threading.Timer(1.5, taken.release)
    failing.start()
    assert start_node(pidfile, uri, jobs=["tests.support.jobs"], max_children=1) is True
    failing.join()


def test_a_node_that_cannot_start_says_why(uri: str, pidfile: Path) -> None:
    with pytest.raises(SchedulerError, match=r"^the node was not started: the node is not ready: .*no_such_module"):
        start_node(pidfile, uri, jobs=["no_such_module"])
    assert not pidfile.exists()
    with pytest.raises(SchedulerError, match=r"missing/node\.pid cannot be used as a pidfile: No such file"):
        start_node(pidfile.parent / "missing" / "node.pid", uri, jobs=["tests.support.jobs"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--jobs", "no_such_module"], 2),
        pytest.param(["--min-children", "3"], 2, marks=pytest.mark.faults),
        pytest.param(["-u", "frob"], 2, marks=pytest.mark.faults),
        (["-u", "mongodb://127.0.0.1:9/none?serverSelectionTimeoutMS=200"], 4),
    ],
    ids=["module", "option", "uri", "server"],
)
def test_a_node_in_the_background_fails_with_the_exit_code_of_one_in_the_foreground(
    uri: str, pidfile: Path, arguments: list[str], code: int
) -> None:
    def ended(*more: object) -> tuple[int, str]:
        command = [*COMMAND, "node", *arguments, *map(str, more)]
        environment = {**os.environ, "TASKSCHEDULER_URI": uri}
        ran = commands.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        return ran.returncode, ran.stderr

    (foreground, why), (background, answer) = ended(), ended("--daemonize", "--pidfile", pidfile)
    assert (foreground, background) == (code, code)
    assert answer == why.replace("taskscheduler: ", "taskscheduler: the node is not ready: ", 1)


def test_a_log_file_that_is_a_link_is_refused(run: Run, pidfile: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "log").symlink_to(tmp_path / "precious")
    with pytest.raises(SchedulerError, match=r"the log file .*log is a symbolic link; give the file that it leads to"):
        start_node(pidfile, "mongodb://127.0.0.1:9/none", tmp_path / "log")
    assert (tmp_path / "precious").read_text() == "keep"
    assert not pidfile.exists()


def test_options_of_the_background_are_refused_where_they_make_no_sense(run: Run, tmp_path: Path) -> None:
    assert run("node", "--daemonize")[0] == 2
    assert run("node", "--log-file", tmp_path / "log")[0] == 2
