"""The next run of a series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.document import new_document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions
from taskscheduler.model.schedules import job_template, successor, successor_id

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
SERIES = ObjectId("64b000000000000000000001")
PLANNED = ObjectId("70000000aaaaaaaaaaaaaaaa")


def new(data: Any = None, **options: Any) -> dict[str, Any]:
    return new_document("mail", data, JobOptions.of(options), NOW)


def test_the_id_of_the_next_run_follows_from_the_series_and_the_number_of_the_run() -> None:
    first = successor_id(SERIES, 1, PLANNED)
    assert first == successor_id(ObjectId(str(SERIES)), 1, PLANNED)
    assert first.binary[4:] == successor_id(SERIES, 1, ObjectId()).binary[4:]
    assert first == ObjectId("700000008b80c8dfc1f2f5f3")


def test_the_id_of_the_next_run_tells_when_it_was_planned() -> None:
    assert successor_id(SERIES, 1, PLANNED).generation_time == PLANNED.generation_time


def test_every_run_of_every_series_has_an_id_of_its_own() -> None:
    other = ObjectId("64b000000000000000000002")
    ids = {successor_id(series, seq, PLANNED) for series in (SERIES, other) for seq in range(1000)}
    assert len(ids | {SERIES, other}) == 2002


def ended_run(**more: Any) -> dict[str, Any]:
    document = new({"to": "x"}, interval=60, retry=2, queue="mail", priority=7, parent=ObjectId())
    later = NOW + timedelta(seconds=60)
    plan = {"_id": successor_id(document["series"], 1, PLANNED), "at": later, "created": NOW + timedelta(seconds=1)}
    ran = {
        "status": int(Status.DONE),
        "attempt": 3,
        "retries": 2,
        "lost": 1,
        "progress": 100.0,
        "worker": "w",
        "node": "n",
        "started": NOW,
        "ended": NOW,
        "result": 1,
        "error": {"type": "x"},
        "attempts": [{}],
        "claim": "c",
        "boot": ObjectId(),
        "message": "m",
        "once": "key",
        "pending": ["next"],
        "rearmed": "1:failed",
    }
    return {**document, **ran, "next": plan, **more}


def test_the_next_run_keeps_what_the_user_gave() -> None:
    ended = ended_run(hook=True)
    fresh = successor(ended)
    for name in ("class", "queue", "priority", "data", "options", "series", "parent", "hook", "v"):
        assert fresh[name] == ended[name]
    assert fresh["seq"] == ended["seq"] + 1


def test_the_next_run_has_the_id_and_the_dates_that_were_planned() -> None:
    ended = ended_run()
    fresh = successor(ended)
    assert (fresh["_id"], fresh["at"], fresh["created"]) == (
        ended["next"]["_id"],
        ended["next"]["at"],
        ended["next"]["created"],
    )


def test_the_next_run_starts_afresh() -> None:
    fresh = successor(ended_run())
    assert (fresh["attempt"], fresh["retries"], fresh["lost"], fresh["progress"]) == (0, 0, 0, 0.0)
    assert (fresh["started"], fresh["ended"], fresh["worker"]) == (None, None, None)
    traces = {"node", "result", "error", "attempts", "claim", "boot", "message", "once", "pending", "next", "rearmed"}
    assert not traces & set(fresh)


def test_the_next_run_has_all_fields_of_a_new_job() -> None:
    assert set(new(interval=1)) <= set(successor(ended_run()))


def test_the_next_run_waits_for_its_time_unless_it_is_to_run_at_once() -> None:
    assert successor(ended_run())["status"] == Status.POSTPONED
    at_once = ended_run()
    at_once["options"] = {**at_once["options"], "interval": -1}
    assert successor(at_once)["status"] == Status.WAITING


def test_the_next_run_of_a_solo_job_waits_for_the_lock_of_its_key() -> None:
    fresh = successor(ended_run(solo="key"))
    assert (fresh["solo"], fresh["status"]) == ("key", Status.POSTPONED)
    assert "parked_at" not in fresh  # it is not due yet
    at_once = ended_run(solo="key")
    at_once["options"] = {**at_once["options"], "interval": -1}
    at_once["next"]["at"] = at_once["next"]["created"]
    fresh = successor(at_once)
    assert (fresh["status"], fresh["at"], fresh["parked_at"]) == (Status.POSTPONED, FAR, at_once["next"]["at"])


def test_the_runs_of_a_schedule_know_nothing_of_windows() -> None:
    of_class = {"debounce": 5, "debounce_max": 60, "unique_key": "k"}
    template = job_template(new(1, **of_class, retry=3))
    assert template["options"] == job_template(new(1, retry=3))["options"]
    assert job_template(new(1, unique_for=5))["options"] == job_template(new(1))["options"]
