"""A report holds what a worker writes, or its job fails: nothing else of it reaches the job's document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.tables import table
from tests.unit.node.fakes import attempt, report

from taskscheduler.model.lifecycle import Ending, Transition
from taskscheduler_daemon.node.completion.completer import completion_of_report
from taskscheduler_daemon.node.completion.report_content import fault_of_content, progress_of

ERROR = {"type": "ValueError", "message": "no"}


@table(
    "content",
    [
        {"result": {"any": ["thing"]}, "hook": True, "async": True},
        {"error": ERROR},
        {"error": {**ERROR, "traceback": "x" * 32_000, "peak_memory": 1, "exit_code": 3}},
        {"error": {**ERROR, "place": "mail.py:42 in start"}, "fingerprint": "0123456789ab"},
        {"error": None, "said": {}},
        {"said": {"progress": 50.0, "message": "half"}},
        {"said": {"progress": 100}},
        {"error": ERROR, "final": "the job was discarded"},
        {"error": ERROR, "after": 0.5},
        {"after": 60, "reason": "quota"},
        {"until": datetime(2030, 1, 1, tzinfo=UTC)},
        {"reason": "its node stopped", "begun": False},
    ],
)
def test_what_a_worker_writes_is_sound(content: dict[str, Any]) -> None:
    assert fault_of_content(content) is None


@table(
    "content",
    [
        {"error": "text"},
        {"error": {}},
        {"error": {"type": "E", "message": 5}},
        {"error": {**ERROR, "more": {"deep": 1}}},
        {"error": {**ERROR, "message": "x" * 100_000}},
        {"error": ERROR, "fingerprint": 7},
        {"error": ERROR, "fingerprint": "0123456789AB"},
        {"error": ERROR, "fingerprint": "0" * 13},
        {"said": 7},
        {"final": True},
        {"final": "x" * 501},
        {"after": "60"},
        {"after": -1},
        {"after": float("nan")},
        {"after": 1e300},
        {"until": 60},
        {"reason": ["quota"]},
        {"begun": "no"},
        {"said": {"progress": "50"}},
        {"said": {"progress": True}},
        {"said": {"progress": 101}},
        {"said": {"progress": float("nan")}},
        {"said": {"message": "x" * 1001}},
        {"said": {"progress": 1.0, "claim": "mine", "status": 0}},
    ],
)
def test_anything_else_fails_the_job_and_is_not_written(content: dict[str, Any]) -> None:
    completion = completion_of_report(attempt(), report(attempt(), Ending.SUCCEEDED, **content), 3)
    assert completion.verdict.move is Transition.FAIL
    assert completion.error is not None
    assert completion.error["type"] == "InvalidDocumentError"
    assert completion.progress == {}


def test_progress_holds_what_it_may_hold_alone() -> None:
    assert progress_of({"progress": 5, "message": "x", "status": 1}) == {"progress": 5, "message": "x"}
    assert progress_of({"progress": "5", "message": 7}) == {}


@pytest.mark.parametrize("levels", [100, 5000])
def test_a_deep_report_is_decoded_or_refused(levels: int) -> None:
    empty = b"\x05\0\0\0\0"
    sizes = [len(empty) + 8 * level for level in range(levels, 0, -1)]
    body = b"".join(size.to_bytes(4, "little") + b"\x03a\0" for size in sizes) + empty + b"\0" * levels
    one = attempt()
    completion = completion_of_report(one, report(one, Ending.SUCCEEDED)._replace(body=body), 3)
    assert completion.verdict.move in (Transition.SUCCEED, Transition.FAIL)
