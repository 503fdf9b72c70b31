"""The rules of steps: lengths of sleeps, kinds, what a retry forgets, and what a job waits for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskscheduler.errors import InvalidOptionError, InvalidStateError
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.resumable.steps import (
    Awaited,
    Kind,
    awaited,
    before,
    check_kind,
    kind_of,
    length_of_sleep,
    steps_of,
)

AT = datetime(2026, 11, 29, tzinfo=UTC)


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "at": AT, "attempt": 1, **more}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"given": 90}, 90),
        ({"given": timedelta(minutes=2)}, 120),
        ({"given": 0}, 0),
        ({"days": 3}, 259_200),
        ({"hours": 1.5, "minutes": 1, "given": 1}, 5461),
    ],
)
def test_a_sleep_is_the_sum_of_what_is_given(given: dict[str, Any], seconds: float) -> None:
    assert length_of_sleep(**{"given": None, "days": 0, "hours": 0, "minutes": 0, "until": None, **given}) == seconds


def test_a_sleep_may_end_at_a_date() -> None:
    assert length_of_sleep(None, 0, 0, 0, AT) == AT


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "say how long"),
        ({"given": "1h"}, "seconds"),
        ({"given": -1}, "between 0"),
        ({"days": -1}, "option days"),
        ({"minutes": "2"}, "option minutes"),
        ({"days": 40_000}, "option days"),
        ({"until": AT, "days": 1}, "either until or days"),
        ({"until": AT, "given": 0}, "either until or seconds"),
        ({"until": 7}, "aware datetime"),
        ({"until": datetime(2026, 1, 1)}, "aware datetime"),  # noqa: DTZ001 - that is what is refused
    ],
)
def test_any_other_sleep_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOptionError, match=text):
        length_of_sleep(**{"given": None, "days": 0, "hours": 0, "minutes": 0, "until": None, **given})


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"result": 1}, Kind.STEP),
        ({"until": AT}, Kind.SLEEP),
        ({"signal": True}, Kind.SIGNAL),
        ({"signal": True, "until": AT}, Kind.SIGNAL),
    ],
)
def test_an_entry_has_a_kind_and_keeps_it(more: dict[str, Any], kind: Kind) -> None:
    assert kind_of(entry("x", **more)) is kind
    check_kind(entry("x", **more), kind)
    other = Kind.STEP if kind is not Kind.STEP else Kind.SLEEP
    with pytest.raises(InvalidStateError, match=f"'x' was a {kind} of this job in attempt 1 and is now a {other}"):
        check_kind(entry("x", **more), other)


STEPS = [entry("a", result=1), entry("go", signal=True), entry("b", result=2), entry("ok", signal=True)]
SIGNALS = [{"name": name, "value": 1, "at": AT} for name in ("go", "ok", "later")]


@pytest.mark.parametrize(
    ("name", "steps", "signals"),
    [
        ("a", None, ["later"]),
        ("go", ["a"], ["later"]),
        ("b", ["a", "go"], ["go", "later"]),
        ("ok", ["a", "go", "b"], ["go", "later"]),
    ],
)
def test_a_retry_forgets_a_step_and_what_came_after(name: str, steps: list[str] | None, signals: list[str]) -> None:
    fields = before({"_id": 1, "steps": STEPS, "signals": SIGNALS}, name)
    assert (fields["steps"] and [one["name"] for one in fields["steps"]]) == steps
    assert [one["name"] for one in fields["signals"]] == signals


def test_a_retry_from_a_step_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InvalidOptionError, match="no step 'go1'; it has a, go, b, ok; did you mean go"):
        before({"_id": 1, "steps": STEPS}, "go1")
    with pytest.raises(InvalidOptionError, match="it has none"):
        before({"_id": 1}, "go")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, None),
        ({"awaits": {"name": "go"}}, Awaited(Kind.SIGNAL, "go", None)),
        ({"awaits": {"name": "go", "until": AT}}, Awaited(Kind.SIGNAL, "go", AT)),
        ({"awaits": {"sleep": "sleep-1", "until": AT}}, Awaited(Kind.SLEEP, "sleep-1", AT)),
        ({"awaits": {"sleep": "sleep-1"}}, None),
        ({"awaits": {"name": "go"}, "status": 0}, None),
        ({"awaits": {"name": "go"}, "parked_at": AT, "at": FAR}, None),
        ({"awaits": 7}, None),
        ({"awaits": {"name": 7}}, None),
    ],
)
def test_what_a_job_waits_for(fields: dict[str, Any], found: Awaited | None) -> None:
    assert awaited({"status": int(Status.POSTPONED), **fields}) == found


def test_steps_are_described_with_their_signals() -> None:
    late = {"name": "ok", "timed_out": True, "at": AT}
    signals = [{"name": "go", "value": 5, "at": AT}, late]
    described = steps_of({"steps": [*STEPS, entry("nap", until=AT), entry("no", signal=True)], "signals": signals})
    assert [(one["kind"], one.get("result"), one.get("came"), one.get("timed_out")) for one in described] == [
        ("step", 1, None, None),
        ("signal", 5, True, False),
        ("step", 2, None, None),
        ("signal", None, False, True),
        ("sleep", None, None, None),
        ("signal", None, False, False),
    ]


@pytest.mark.parametrize("odd", [None, 7, "x", {"name": 1}, [7, {}, {"name": 3, "at": 1}, {"name": "x"}]])
def test_what_somebody_else_has_written_is_no_step(odd: Any) -> None:
    assert steps_of({"steps": odd, "signals": odd}) == []
