"""The page on the web service: its commands do what it says; and the reference names what the description has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.pages import DOCS, blocks, modules, shells, wrong_names

from taskscheduler import Scheduler
from taskscheduler_daemon.web import create_app

PAGE = (DOCS / "how-to" / "rest.md").read_text()
HERE = "http://127.0.0.1:8080"
TOKEN = "s3cret"


@pytest.fixture
def address(scheduler: Scheduler) -> Iterator[str]:
    app = create_app(scheduler, ["myapp.Mail"], TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, 30, "the server listens")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        app.end_streams()
        server.should_exit = True
        thread.join()


def start(text: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TASKSCHEDULER_WEB_TOKEN": TOKEN}
    command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)


def values(text: str) -> list[dict[str, object]]:
    """The objects of JSON that stand behind each other."""
    found, decoder = [], json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"(?:^|(?<=\})|(?<=\n))\{", text)):
        found.append(decoder.raw_decode(text, start)[0])
    return found


def test_the_commands_do_what_the_page_says(
    address: str, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    for name, text in modules(PAGE).items():
        (tmp_path / f"{name}.py").write_text(text)
    start_node(jobs=["myapp"], late=f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    setup, add, wait, again, listing, many, stream, wrong = (text.replace(HERE, address) for text in shells(PAGE))

    with start(setup + stream, tmp_path) as following:
        assert following.stdout is not None
        try:
            assert any(line.startswith("event: open") for line in following.stdout)
            done = start(setup + add + wait + again + 'api "$SERVER$JOB/wait" >/dev/null\n', tmp_path)
            said = done.communicate(timeout=100)[0]
            assert done.returncode == 0
            assert any(line.startswith("event: done") for line in following.stdout)
        finally:
            following.terminate()
    ended, result = values(said)
    assert (ended["status"], result["result"]) == ("done", {"sent": "ada@example.org"})
    first, second = re.findall(r"^(?:\{.*\})?(/api/v1/jobs/[0-9a-f]{24})$", said, re.MULTILINE)
    assert first == second

    failed = start(f'{setup}api "$SERVER{first}/wait?timeout=60"', tmp_path).communicate(timeout=100)[0]
    assert json.loads(failed)["status"] == "failed"
    said = start(setup + listing + many, tmp_path).communicate(timeout=100)[0]
    *pages, counted, deleted = values(said)
    assert [len(one["jobs"]) for one in pages if one["jobs"]] == [1, 1]  # type: ignore[arg-type]
    assert (counted["count"], counted["dry_run"], deleted["count"], deleted["dry_run"]) == (1, True, 1, False)
    problem = json.loads(start(setup + wrong, tmp_path).communicate(timeout=100)[0])
    assert [problem] == [json.loads(block.text) for block in blocks(PAGE) if block.language == "json"]


def test_the_names_on_the_page_exist() -> None:
    assert [name for name in wrong_names(PAGE) if name.startswith("taskscheduler")] == []
