"""Examples of pages that show a part of a program run with the rest of it around them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.support import commands
from tests.support.fragments import AROUND
from tests.support.pages import DOCS, blocks

ROOT = Path(__file__).parents[2]

#: pages whose examples other tests of this folder run
RUN_ELSEWHERE = {
    "explanation/order-of-evaluation": "test_example_pages",
    "how-to/batches": "test_example_pages",
    "how-to/control-what-runs": "test_control_page",
    "how-to/flows": "test_example_pages",
    "how-to/look-into-jobs": "test_example_pages",
    "how-to/many-jobs": "test_many_jobs",
    "how-to/retries": "test_example_pages",
    "how-to/steps-and-signals": "test_example_pages",
    "how-to/transactions": "test_example_pages",
    "how-to/windows": "test_example_pages",
    "tutorial/an-order-process": "test_order_process",
    "tutorial/first-steps": "test_readme",
    "tutorial/retries-and-progress": "test_coming_from",
    "how-to/contribute": "shows tests of an option that does not exist",
}


@pytest.mark.parametrize("page", AROUND)
def test_the_examples_of_the_page_run(uri: str, tmp_path: Path, page: str) -> None:
    program = f"from tests.support.fragments import run; run({page!r})"
    environment = {**os.environ, "TASKSCHEDULER_URI": uri, "PYTHONPATH": str(ROOT)}
    done = commands.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_with_examples_is_run() -> None:
    """Those that come from another system are found by test_coming_from and test_example_pages themselves."""
    pages = {str(path.relative_to(DOCS).with_suffix("")): path.read_text() for path in DOCS.rglob("*.md")}
    with_examples = {
        name
        for name, text in pages.items()
        if not name.startswith("how-to/coming-from/")
        and any(block.language == "python" and not block.module for block in blocks(text))
    }
    assert with_examples == {*AROUND, *RUN_ELSEWHERE}
