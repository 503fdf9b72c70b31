"""Which nodes run the jobs of a class in a queue."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.model.control.known import Coverage, coverage, why_unserved

UNSERVED, UNKNOWN, KNOWN = Coverage.UNSERVED, Coverage.UNKNOWN, Coverage.KNOWN


MAIL = {"name": "a", "queues": ["mail"], "jobs": ["send", "sort"], "silent": 1.0, "lease": 30}


@table(
    ("nodes", "found"),
    [
        ([], UNSERVED),
        ([{**MAIL, "silent": 31.0}, {**MAIL, "lost": True}], UNSERVED),
        ([{**MAIL, "queues": ["files"]}, {**MAIL, "silent": 31.0}], UNSERVED),
        ([{**MAIL, "jobs": ["sort"]}], UNKNOWN),
        ([{**MAIL, "jobs": []}, {**MAIL, "queues": ["files"]}], UNKNOWN),
        ([{**MAIL, "unknown": ["send"]}], UNKNOWN),  # its workers do not have what its modules had
        ([{"silent": 1.0, "unknown": ["send"]}], UNKNOWN),
        ([{**MAIL, "jobs": []}, MAIL], KNOWN),
        ([{**MAIL, "queues": [], "unknown": ["sort"]}], KNOWN),
        ([{"silent": 1.0}], KNOWN),  # does not say which jobs it knows
    ],
)
def test_a_node_that_is_up_serves_the_queue_and_knows_the_class(nodes: list[dict[str, Any]], found: Coverage) -> None:
    assert coverage("send", "mail", nodes) is found


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([], "no node that is up serves the queue mail"),
        ([{**MAIL, "jobs": []}], "no node that serves the queue mail knows the job 'send'"),
        ([MAIL], None),
    ],
)
def test_why_no_node_runs_a_job(nodes: list[dict[str, Any]], reason: str | None) -> None:
    found = why_unserved(nodes, "mail", "send")
    assert found == (None if reason is None else f"{reason}; start one: taskscheduler node --uri URI --jobs MODULE")
