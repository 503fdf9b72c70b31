"""The page on what runs: its examples do what it says, and its commands exist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.pages import DOCS, script, wrong_names

PAGE = (DOCS / "how-to" / "control-what-runs.md").read_text()


def test_the_examples_do_what_the_page_says(uri: str, tmp_path: Path) -> None:
    (tmp_path / "examples.py").write_text(script(PAGE))
    environment = {**os.environ, "TASKSCHEDULER_URI": uri}
    done = subprocess.run(
        [sys.executable, "examples.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["queue", "mail"],
        ["job", "myapp.Report"],
        ["tag", "customer-7"],
    ]


def test_the_commands_exist() -> None:
    assert [name for name in wrong_names(PAGE) if name.startswith(("taskscheduler", "--"))] == []
