"""The page on many jobs: its examples run, its commands exist, and its table has all keys of the language."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.support.pages import DOCS, script, wrong_names

from taskscheduler.model.changes import RETRY_OPTIONS
from taskscheduler.model.filters.expression import Filter
from taskscheduler.model.filters.keys import KEYS

PAGE = (DOCS / "how-to" / "many-jobs.md").read_text()


def test_the_examples_do_what_the_page_says(uri: str) -> None:
    environment = {**os.environ, "TASKSCHEDULER_URI": uri}
    done = subprocess.run([sys.executable, "-c", script(PAGE)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_exist() -> None:
    assert [name for name in wrong_names(PAGE) if name.startswith(("taskscheduler", "--"))] == []


def test_the_tables_have_all_keys_and_only_expressions() -> None:
    rows = re.findall(r"^\| (`[^|]*|none) \| (`[^|]*`) \|", PAGE, re.MULTILINE)
    named = {key for keys, _ in rows for key in re.findall(r"`(\w+)`", keys)}
    assert named >= {*KEYS, "data"}
    examples = [text for _, examples in rows for text in re.findall(r"`([^`]*)`", examples) if ":" in text]
    assert len(examples) > 8
    for text in examples:
        assert str(Filter.parse(text)) == text


def test_the_options_of_a_retry_are_named() -> None:
    assert set(RETRY_OPTIONS) <= set(re.findall(r"`(\w+)`", PAGE))
