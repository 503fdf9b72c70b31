"""`taskscheduler init`: the project that it writes runs, as its README says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.pages import blocks

COMMAND = Path(sys.executable).with_name("taskscheduler")
FILES = ["README.md", "jobs.py", "pyproject.toml", "test_jobs.py"]


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "init", *arguments], cwd=folder, capture_output=True, text=True, timeout=100)


@contextmanager
def running(line: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A command that goes on while others run."""
    log = folder.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {line}"], cwd=folder, env=environment, stdout=output, stderr=output
        )
        try:
            eventually(lambda: "node ready" in log.read_text() or process.poll() is not None, 100, "node ready")
            yield
            process.terminate()
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def test_the_commands_of_its_readme_do_what_they_say(tmp_path: Path, uri: str) -> None:
    done = init(tmp_path, "my shop")
    folder = tmp_path / "my shop"
    assert (done.returncode, sorted(os.listdir(folder))) == (0, FILES), done.stderr
    assert "  cd 'my shop'\n" in done.stderr
    readme = (folder / "README.md").read_text()
    assert readme.startswith("# my-shop\n")
    _, dev, others, _ = (block.text.strip() for block in blocks(readme))
    assert dev in done.stderr
    environment = {**os.environ, "TASKSCHEDULER_URI": uri, "TASKSCHEDULER_TEST_URI": uri}
    environment |= {
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:anyio -p no:schemathesis",
    }
    with running(dev, folder, environment):
        said = [
            subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
            for line in others.splitlines()
        ]
    assert [one.returncode for one in said] == [0, 0, 0, 0], [one.stdout + one.stderr for one in said]
    words = ("", "jobs.greet", "count", "2 passed")
    assert [word for word, one in zip(words, said, strict=True) if word not in one.stdout] == []
    assert "| greeting Ada" in (tmp_path / "log").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("mine")
    done = init(tmp_path)
    assert (done.returncode, os.listdir(tmp_path)) == (2, ["jobs.py"])
    assert ". has jobs.py already, and nothing is overwritten; name another folder" in done.stderr
    assert init(tmp_path, "jobs.py").returncode == 2
    assert (tmp_path / "jobs.py").read_text() == "mine"
