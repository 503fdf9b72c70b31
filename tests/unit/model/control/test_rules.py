"""The order in which controls are asked, and what the first one that refuses says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.tables import table

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.limits import Limit
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.control.rules import keys_to_pass, refusal

NOW = datetime(2030, 1, 1, tzinfo=UTC)

JOB = {"class": "Mail", "queue": "q", "tags": ["t"], "sequence": "s", "limits": ["a", "b", "c"], "solo": "k"}

IN_ORDER = ["sequence:s", "limit:a", "limit:b", "limit:c", "solo:k", "rate:b", "rate:c"]

LIMITS = (Limit("a", 5), Limit("b", 5, rate=1), Limit("c*", rate=1))


class Refusing:
    """Controls that have no room, and those that were asked."""

    def __init__(self, *full: str) -> None:
        self.full, self.asked = full, list[str]()

    def is_run(self, job: Mapping[str, Any]) -> bool:
        return "node" not in self.full

    def lets_in(self, text: str, job: Mapping[str, Any]) -> bool:
        assert job is JOB
        self.asked.append(text)
        return text not in self.full


def test_a_job_passes_its_sequence_limits_and_solo_key_then_its_rates() -> None:
    assert list(keys_to_pass(JOB, Controls(limits=LIMITS))) == IN_ORDER
    assert list(keys_to_pass(JOB, Controls())) == IN_ORDER[:5], "a limit that nobody has set has no rate"
    assert list(keys_to_pass({}, Controls(limits=LIMITS))) == []


@table("number", range(len(IN_ORDER)))
def test_the_first_control_without_room_is_told_and_none_behind_it_is_asked(number: int) -> None:
    room = Refusing(*IN_ORDER[number:])
    assert refusal(JOB, Controls(limits=LIMITS), NOW, room) == IN_ORDER[number]
    assert room.asked == IN_ORDER[: number + 1]


def test_a_job_that_no_node_runs_is_asked_for_nothing_else() -> None:
    room = Refusing("node", *IN_ORDER)
    assert refusal(JOB, Controls(pauses=(Pause("all"),), limits=LIMITS), NOW, room) == "node:q Mail"
    assert room.asked == []


def test_a_job_for_which_all_have_room_may_run() -> None:
    assert refusal(JOB, Controls(limits=LIMITS), NOW, Refusing()) is None


@table("pause", [Pause("all"), Pause("queue", "q"), Pause("job", "Mail"), Pause("tag", "t")])
def test_a_pause_comes_before_all_others_until_its_time_is_over(pause: Pause) -> None:
    room = Refusing(*IN_ORDER)
    assert refusal(JOB, Controls(pauses=(pause,)), NOW, room) == pause.key
    assert room.asked == []
    over = Pause(pause.kind, pause.name, until=NOW - timedelta(seconds=1))
    assert refusal(JOB, Controls(pauses=(over,)), NOW, room) == "sequence:s"


@table("odd", [{"queue": 5}, {"class": None}, {"tags": "t"}, {"tags": [{}]}, {"limits": 5}])
def test_an_odd_job_is_asked_for_what_makes_sense(odd: dict[str, Any]) -> None:
    job = {**JOB, **odd}
    pauses = (Pause("queue", "x"), Pause("tag", "x"))

    class Open:
        def is_run(self, job: Mapping[str, Any]) -> bool:
            return True

        def lets_in(self, text: str, job: Mapping[str, Any]) -> bool:
            return True

    assert refusal(job, Controls(pauses, LIMITS), NOW, Open()) is None
