"""Pages of the manual that are a program: their examples do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.nodes import NodeProcess
from tests.support.pages import DOCS, modules, script, wrong_names

from taskscheduler import Code

EXAMPLES = [
    *["batches", "flows", "look-into-jobs", "retries", "steps-and-signals", "transactions", "windows"],
    *(f"coming-from/{name}" for name in ("apscheduler", "celery", "dramatiq", "procrastinate", "rq")),
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_do_what_the_page_says(uri: str, tmp_path: Path, name: str) -> None:
    write((DOCS / "how-to" / f"{name}.md").read_text(), tmp_path)
    run(uri, tmp_path)


def write(page: str, folder: Path) -> None:
    for module, text in {**modules(page), "examples": script(page)}.items():
        (folder / f"{module}.py").write_text(text)


def run(uri: str, folder: Path) -> None:
    environment = {**os.environ, "TASKSCHEDULER_URI": uri}
    done = subprocess.run(
        [sys.executable, "examples.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


ORDER = (DOCS / "explanation" / "order-of-evaluation.md").read_text()


def test_the_worked_example_of_the_order_of_evaluation(
    uri: str, tmp_path: Path, start_node: Callable[..., NodeProcess]
) -> None:
    write(ORDER, tmp_path)
    start_node(jobs=["shop"], queues=["default"], late=f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    run(uri, tmp_path)


def test_the_page_on_the_order_has_every_code_in_its_order() -> None:
    table = re.findall(r"^\| `([A-Z_]+)` \|", ORDER, re.MULTILINE)
    assert set(table) == set(Code)
    drawn = re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", ORDER.partition("## The order")[2].partition("```\n\n")[0])
    order = [code for code in Code if code not in (Code.ENDED, Code.RUNNING, Code.WAITING_FOR)]
    assert drawn == [*order, Code.RUNNING]


def test_the_commands_of_the_page_on_the_order_exist() -> None:
    assert [name for name in wrong_names(ORDER) if name.startswith(("taskscheduler", "--"))] == []


def test_the_commands_of_the_page_on_windows_exist() -> None:
    page = (DOCS / "how-to" / "windows.md").read_text()
    assert [name for name in wrong_names(page) if name.startswith(("taskscheduler", "--"))] == []
