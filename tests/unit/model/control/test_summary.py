"""How many jobs each reason keeps from running, from counts."""

from __future__ import annotations

from typing import Any

from tests.support.tables import table

from taskscheduler import Code, Pause
from taskscheduler.model.control.reasons import for_seconds, many
from taskscheduler.model.control.summary import CODES, by_code, capped

UP: dict[str, Any] = {"_id": 1, "beat": 1, "silent": 0.0, "queues": ["mail", "img"]}
SILENT = {**UP, "silent": 1000.0}


def test_jobs_in_lists_count_by_the_kind_of_their_control() -> None:
    counts = by_code(dict.fromkeys(CODES, 2), {}, [UP], [])
    assert counts == dict.fromkeys(CODES.values(), 2)


@table(
    ("nodes", "pauses", "expected"),
    [
        ([], [], {Code.NO_NODE: 7}),
        ([SILENT], [], {Code.NO_NODE: 7}),
        ([UP], [], {Code.SLOTS: 2, Code.NO_NODE_SERVES: 4, Code.LIMIT: 1}),
        ([UP], [Pause("queue", "mail")], {Code.PAUSED: 2, Code.NO_NODE_SERVES: 4, Code.LIMIT: 1}),
        ([UP], [Pause("all")], {Code.PAUSED: 2, Code.NO_NODE_SERVES: 4, Code.LIMIT: 1}),
        ([UP], [Pause("job", "mail"), Pause("tag", "mail")], {Code.SLOTS: 2, Code.NO_NODE_SERVES: 4, Code.LIMIT: 1}),
        ([UP, {**UP, "queues": None}], [], {Code.SLOTS: 6, Code.LIMIT: 1}),
    ],
)
def test_waiting_jobs_count_by_their_queue(
    nodes: list[dict[str, Any]], pauses: list[Pause], expected: dict[Code, int]
) -> None:
    assert by_code({"limit": 1}, {"mail": 2, "other": 4}, nodes, pauses) == expected


def test_counts_end_and_come_in_the_order_of_evaluation() -> None:
    found = capped({Code.SLOTS: 2002, Code.LIMIT: 0, Code.NOT_DUE: 1000})
    assert list(found.items()) == [(Code.NOT_DUE, 1000), (Code.SLOTS, 1001)]


@table(("seconds", "said"), [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (180_000, "2 days")])
def test_durations_as_people_say_them(seconds: float, said: str) -> None:
    assert for_seconds(seconds) == said


def test_a_count_with_its_noun() -> None:
    said = [many(count, "job", "jobs") for count in (1, 2, 1000, 1001)]
    assert said == ["1 job", "2 jobs", "1000 jobs", "more than 1 000 jobs"]
