"""The tutorial of an order process, word for word, with the installed command and the embedded server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.pages import DOCS, blocks, modules, script

PAGE = (DOCS / "tutorial" / "an-order-process.md").read_text()


def program(page: str) -> str:
    """What the page has one type in Python, and its commands, in their order."""
    before, command, after = page.partition("```sh\ntaskscheduler signal")
    line, _, rest = (command.removeprefix("```sh\n") + after).partition("\n")
    run = f"import subprocess; subprocess.run({line!r}.replace('ID', str(process.id)), shell=True, check=True)"
    return "\n".join([script(before), run, script(rest.partition("```\n")[2])])


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """With a server of its own, and the command in the path."""
    found = {**os.environ, "TASKSCHEDULER_STATE_DIR": str(tmp_path / "state")}
    found.pop("TASKSCHEDULER_URI", None)
    return found | {"PATH": f"{Path(sys.executable).parent}:{found['PATH']}"}


@pytest.fixture
def loop(tmp_path: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The first terminal, in a folder with the module of the page."""
    for name, text in modules(PAGE).items():
        (tmp_path / f"{name}.py").write_text(text)
    command = next(block.text for block in blocks(PAGE) if block.language == "sh")
    with (tmp_path / "node.log").open("w") as log:
        loop = subprocess.Popen(
            ["sh", "-c", command], cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield loop
    finally:
        with suppress(ProcessLookupError):
            os.killpg(loop.pid, signal.SIGKILL)
        loop.wait(30)


@pytest.mark.faults  # a minute: a node is killed at every step
@pytest.mark.timeout(300)
def test_nothing_is_done_twice(tmp_path: Path, environment: Mapping[str, str], loop: subprocess.Popen[bytes]) -> None:
    log = tmp_path / "node.log"
    eventually(lambda: "node ready" in log.read_text(), 60, "node ready")
    (tmp_path / "examples.py").write_text(program(PAGE))
    done = subprocess.run(
        [sys.executable, "examples.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
    assert log.read_text().count("Killed") >= 5
    os.killpg(loop.pid, signal.SIGINT)  # as Ctrl-C does
    assert loop.wait(30) in (0, -signal.SIGINT)
    assert "node stopped" in log.read_text()
