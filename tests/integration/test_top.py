"""`taskscheduler top` on a terminal, with real nodes: what it shows, what its keys do, and what it leaves behind."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.screen import OnTerminal
from tests.support.wandering import Wanders

from taskscheduler import Process, Scheduler, Status
from taskscheduler_daemon.cli import main

StartNode = Callable[..., NodeProcess]
Open = Callable[..., OnTerminal]


@pytest.fixture
def top(uri: str) -> Iterator[Open]:
    opened: list[OnTerminal] = []

    def start(*arguments: str, columns: int = 80, lines: int = 24) -> OnTerminal:
        program = ["-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"]
        command = [sys.executable, *program, "top", "--interval", "0.3s", *arguments]
        opened.append(OnTerminal(command, {"TASKSCHEDULER_URI": uri}, columns, lines))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture
def running(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> Process:
    start_node(jobs=["tests.support.wandering"], max_children=2, name="web-1")
    process = scheduler.add_job(Wanders, {"trace": str(tmp_path / "trace")}, queue="far")
    eventually(lambda: traces(tmp_path / "trace"), 30)
    return process


def test_it_shows_the_cluster_and_acts_on_it(scheduler: Scheduler, running: Process, top: Open) -> None:
    for _ in range(3):
        scheduler.add_job("Mail", queue="far-away")
    terminal = top()
    screen = terminal.shows(running.id_text, "wanders", "web-1", "1 of 1 nodes up", "3 waiting")
    assert {len(line) for line in screen} == {80}
    assert len(screen) == 24
    terminal.press("s")
    terminal.shows("in Wanders.sleeps", "time.sleep(LONG)")
    terminal.press(" \r")
    terminal.shows("queue", "far", "attempt")
    terminal.press(" 2")
    terminal.shows("far-away", "[2] queues 1")
    terminal.press("p")
    terminal.shows("queue far-away is paused", "paused")
    assert [pause.name for pause in scheduler.pauses()] == ["far-away"]
    terminal.press("p")
    terminal.shows("queue far-away goes on")
    assert scheduler.pauses() == []
    terminal.press("3")
    terminal.shows("web-1", "busy", running.id_text)
    terminal.press("1/nothing like this\r")
    terminal.shows("nothing with this text")
    terminal.press("/" + "\x7f" * 20 + "\r")
    terminal.shows(running.id_text)
    terminal.press("xn")
    terminal.press("x")
    terminal.shows(f"cancel job {running.id_text}? y/n")
    terminal.press("y")
    terminal.shows(f"job {running.id_text} is cancelled")
    assert running.refresh().status is Status.CANCELED
    terminal.resize(60, 12)
    eventually(lambda: (len(terminal.screen), {len(line) for line in terminal.screen}) == (12, {60}), 30)
    terminal.press("q")
    assert terminal.ended() == 0
    assert terminal.is_restored


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_however_it_ends_the_terminal_is_as_it_was(scheduler: Scheduler, top: Open, number: int, code: int) -> None:
    terminal = top()
    terminal.shows("0 of 0 nodes up")
    if number == signal.SIGINT:
        terminal.press("\x03")
    else:
        terminal.process.send_signal(number)
    assert (terminal.ended(), terminal.is_restored) == (code, True)


def test_it_needs_a_terminal_and_names_what_does_not(
    scheduler: Scheduler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    assert main(["top"]) == 2
    assert "taskscheduler status" in capsys.readouterr().err


def test_every_update_reads_by_indexes(scheduler: Scheduler, running: Process, top: Open) -> None:
    """Whatever has ended: the profiler of the server sees no scan of the jobs."""
    jobs = scheduler.store.database[scheduler.options.job_store]
    terminal = top()
    terminal.shows(running.id_text)
    scheduler.store.database.command("profile", 2, filter={"ns": jobs.full_name, "appName": {"$exists": True}})
    before = len(terminal.read())
    eventually(lambda: len(terminal.read()) > before + 8000, 30)
    scheduler.store.database.command("profile", 0)
    seen = list(scheduler.store.database["system.profile"].find({"ns": jobs.full_name}))
    plans = {entry.get("planSummary", "").partition(" ")[0] for entry in seen}
    assert len(seen) > 3
    assert "COLLSCAN" not in plans
    assert max(entry.get("docsExamined", 0) for entry in seen) <= 10
