"""`taskscheduler dev`: a node and the web pages, from which one can go on by a click or a pasted line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import descendants, is_running
from tests.support.tables import rarely

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main

MAIN = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"

WITHOUT_WEB = "import sys; sys.modules['fastapi'] = None; " + MAIN

JOBS = """
from taskscheduler import job
@job(name='greet')
def greet(name: str):
    print(f'greets {name}\x1b[2J')
    return f'Hello {name}'
"""


class Dev:
    """A `taskscheduler dev` in a folder, with an embedded server of its own."""

    def __init__(
        self, directory: Path, script: str, *arguments: str, prepare: Callable[[], None] = lambda: None
    ) -> None:
        self.directory = directory / "shop's"
        self.directory.mkdir()
        (self.directory / "shopjobs.py").write_text(JOBS)
        prepare()
        self.state, self._log = directory / "state", directory / "log"
        self._noted: set[int] = set()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCHEDULER_")}
        # settings for the pages of a production do not fit here
        environment |= {"TASKSCHEDULER_WEB_HOST": "0.0.0.0", "TASKSCHEDULER_WEB_ROOT_PATH": "/elsewhere"}
        environment |= {"TASKSCHEDULER_WEB_TOKEN_FILE": "/no/such/file", "TASKSCHEDULER_WEB_TOKEN": "production"}
        environment |= {"TASKSCHEDULER_STATE_DIR": str(self.state)}
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script, "dev", *arguments],
                cwd=self.directory, env=environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        eventually(lambda: "node ready" in self.said or self.process.poll() is not None, 60, "node ready")
        assert self.process.poll() is None, self.said

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def address(self) -> str:
        found = re.search(r"^web pages: (http://\S+)$", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def page(self, path: str, *, token: bool = True) -> str:
        parts = urlsplit(self.address)
        request = Request(f"http://{parts.hostname}:{parts.port}{path}")
        if token:
            login = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        with urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    @property
    def family(self) -> set[int]:
        keeper = {int(pid) for pid in re.findall(r'"(?:keeper|mongod)_pid": (\d+)', self._published())}
        self._noted = {self.process.pid, *descendants(self.process.pid), *keeper}
        return self._noted

    def _published(self) -> str:
        return (self.state / "server.json").read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        try:
            eventually(lambda: not (self.state / "server.json").exists(), 30, "the server ends")
        finally:
            for pid in filter(is_running, self._noted):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    started: list[Dev] = []

    def start(*arguments: str, script: str = MAIN, **more: Any) -> Dev:
        started.append(Dev(tmp_path, script, *arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_a_developer_goes_on_by_a_click_and_by_pasted_lines(dev: Callable[..., Dev]) -> None:
    running = dev("--jobs", "shopjobs")
    parts = urlsplit(running.address)
    assert (parts.hostname, parts.path) == ("127.0.0.1", "/")
    assert "taskscheduler" in running.page("/")
    assert "/elsewhere" not in running.page("/")
    for path in ("/", "/jobs", "/tasks"):
        with pytest.raises(HTTPError) as refused:
            running.page(path, token=False)
        assert refused.value.code == 401
        refused.value.close()

    lines = re.findall(r"^  (cd .+)$", running.said, re.MULTILINE)
    assert len(lines) == 2
    elsewhere = {"PATH": os.environ["PATH"], "HOME": str(running.state.parent)}
    jobs, listed = (
        subprocess.run(["sh", "-c", line], cwd="/", env=elsewhere, capture_output=True, text=True, timeout=60)
        for line in lines
    )
    assert (jobs.returncode, jobs.stderr, "greet" in jobs.stdout) == (0, "", True)
    assert (listed.returncode, listed.stderr) == (0, "")

    added = lines[1].replace("list --all", 'add greet \'{"name": "Ada"}\' --wait')
    done = subprocess.run(["sh", "-c", added], cwd="/", env=elsewhere, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "greet" in running.page("/jobs?status=done")
    printed = re.compile(r"^greet [0-9a-f]{6} \| greets Ada\\x1b\[2J$", re.MULTILINE)
    eventually(lambda: printed.search(running.said), 30, "its line is shown")
    assert (running.state / "key").read_text() not in running.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, *rarely(signal.SIGINT)])
def test_the_end_leaves_nothing(dev: Callable[..., Dev], number: signal.Signals) -> None:
    running = dev("--jobs", "shopjobs")
    eventually(lambda: "taskscheduler" in running.page("/"), 30, "the pages are served")
    family = eventually(lambda: len(found := running.family) > 5 and found, 30, "all of them")
    running.process.send_signal(number)
    assert running.process.wait(30) == (-number if number == signal.SIGKILL else 0)
    eventually(lambda: not any(map(is_running, family)), 30, "all processes have ended")
    assert "Traceback" not in running.said


def test_without_the_web_extra_it_says_so_and_goes_on(dev: Callable[..., Dev]) -> None:
    running = dev("--jobs", "shopjobs", script=WITHOUT_WEB)
    assert running.said.count("pip install 'mongo-taskscheduler[web]'") == 1
    assert "web pages: http" not in running.said
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0


def test_a_second_one_takes_another_port(dev: Callable[..., Dev], tmp_path: Path) -> None:
    first = dev()
    (tmp_path / "second").mkdir()
    second = Dev(tmp_path / "second", MAIN)
    try:
        assert urlsplit(first.address).port != urlsplit(second.address).port
        assert "taskscheduler" in second.page("/")
        assert urlsplit(first.address).password != urlsplit(second.address).password
    finally:
        second.end()


RELOADED = """
import time
from taskscheduler import job
from words import WORD
@job(name='greet')
def greet(seconds: float = 0):
    print('begins')
    time.sleep(seconds)
    return WORD
"""


def test_new_code_restarts_the_node_and_broken_code_does_not_run_the_old(
    dev: Callable[..., Dev], uri: str, scheduler: Scheduler, tmp_path: Path
) -> None:
    folder = tmp_path / "shop's"
    words = folder / "words.py"

    def prepare() -> None:
        (folder / "shopjobs.py").write_text(RELOADED)
        words.write_text("WORD = 'one'")

    running = dev("--uri", uri, "--jobs", "shopjobs", "--reload", "--stop-timeout", "60", prepare=prepare)
    long = scheduler.add_job("greet", {"seconds": 2})
    eventually(lambda: "begins" in running.said, 60, "it runs")
    words.write_text("WORD = 'second'")
    eventually(lambda: running.said.count("node ready") == 2, 60, "the node restarts")
    assert long.refresh().result_value == "one"  # it had its time to finish
    assert len(long.attempts) == 1
    assert scheduler.add_job("greet").result(timeout=60) == "second"
    assert "words.py changed; the node restarts" in running.said

    words.write_text("WORD = = 'broken'")
    eventually(lambda: "no node runs until a file changes" in running.said, 60, "it says what is broken")
    assert "cannot import the job module 'shopjobs': SyntaxError: invalid syntax (words.py, line 1)" in running.said
    assert running.said.count("node stopped") == 2
    waiting = scheduler.add_job("greet")
    words.write_text("WORD = 'repaired'")
    assert waiting.result(timeout=60) == "repaired"
    assert "words.py changed; the node starts" in running.said
    assert "Traceback" not in running.said
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert running.said.count("node stopped") == 3


def test_reload_needs_modules_to_watch(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["dev", "--reload"]) == 2
    assert "--reload needs the modules to watch: --jobs yourapp.jobs" in capfd.readouterr().err
