"""taskscheduler logs: what a job has logged and printed, in each form of output."""

from __future__ import annotations

import json

import pytest
from tests.support.talking import fail_talking, say

from taskscheduler import Scheduler
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.presentation.log import COLUMNS, shown_lines


@pytest.fixture(autouse=True)
def this_database(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["logs", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_log_in_each_form(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]) -> None:
    process = scheduler.add_job(fail_talking, retry=1, retry_interval=0)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    capsys.readouterr()
    key = str(process.id)
    assert printed(capsys, key, "-f", "-o", "id") == ["attempt 1", "attempt 2"]
    assert printed(capsys, key, "--attempt", "2", "-o", "id") == ["attempt 2"]
    header, first, _ = printed(capsys, key)
    assert header.split("\t") == list(COLUMNS)
    assert first.split("\t")[1:] == ["1", "stdout", "", "", "attempt 1"]
    assert [json.loads(line)["text"] for line in printed(capsys, key, "-o", "ndjson")] == ["attempt 1", "attempt 2"]
    assert [one["attempt"] for one in json.loads("\n".join(printed(capsys, key, "-o", "json")))] == [1, 2]
    table = printed(capsys, key[-8:], "-o", "table")
    assert [line.strip() for line in table if line.startswith("attempt")] == ["attempt 1", "attempt 2"]


def test_escape_sequences_are_shown_and_json_has_them(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]) -> None:
    process = scheduler.add_job(say, {"text": "\x1b]0;title\x07\x1b[31mred\r\u202e"})
    with InlineNode(scheduler) as node:
        node.run_due()
    capsys.readouterr()
    for form in ("id", "tsv", "table", "ndjson", "json"):
        out = "\n".join(printed(capsys, str(process.id), "-o", form))
        assert not any(char in out for char in "\x1b\x07\r\u202e"), form
    [line] = process.logs()
    assert json.loads(printed(capsys, str(process.id), "-o", "ndjson")[0])["text"] == line.text
    assert "\x1b" in line.text
    first, second = shown_lines(line)
    assert first.endswith("\\x1b]0;title\\x07\\x1b[31mred")
    assert second.strip() == "\\u202e 0"


def test_an_unknown_job_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "0" * 24]) == 3
    assert "was not found" in capsys.readouterr().err
