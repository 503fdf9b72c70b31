"""Schedules on a real database, with and without nodes: one run for each time, whatever happens in between."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from bson import DatetimeMS, ObjectId
from pymongo.errors import AutoReconnect
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.jobs import Echo, Noop
from tests.support.nodes import NodeProcess
from tests.support.odd_documents import LATIN_1
from tests.support.odd_schedules import ODD, PAST, some

from taskscheduler import AsyncScheduler, InvalidOptionError, ScheduleNotFoundError, Scheduler, Status
from taskscheduler.declarations.schedules import DeclaredSchedule
from taskscheduler.model.control.keys import FAR
from taskscheduler.operations import schedule_runs
from taskscheduler.operations.declare_schedules import declare, difference, withdraw
from taskscheduler.operations.schedule_runs import add_due_runs
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main

SECOND = timedelta(seconds=1)


def runs(scheduler: Scheduler, name: str = "tick") -> list[datetime]:
    """The times for which there are runs, in order."""
    return sorted(process.scheduled_at for process in scheduler.get_jobs({"schedule": name}) if process.scheduled_at)


def rewind(scheduler: Scheduler, seconds: float, name: str = "tick") -> datetime:
    """Makes a schedule of every second due since so many seconds; returns its next time."""
    known = scheduler.store.schedules.get(name)
    assert known is not None
    next_at: datetime = known["next_at"] - timedelta(seconds=round(seconds))
    assert scheduler.store.schedules.change(known, {"next_at": next_at, "due_at": next_at}) is not None
    return next_at


def look(scheduler: Scheduler) -> None:
    """What a node does when the time of schedules has come, until nothing is left to do."""
    while add_due_runs(scheduler.store):
        pass


def test_a_node_adds_the_runs_at_their_times(scheduler: Scheduler, node: NodeProcess) -> None:
    schedule = scheduler.schedules.add("tick", Echo, {"n": 1}, every=1, overlap="allow")
    first = schedule.next_at
    assert first is not None
    eventually(lambda: len([job for job in scheduler.get_jobs({"schedule": "tick"}) if job.status is Status.DONE]) >= 3)
    found = runs(scheduler)
    assert found == [first + number * SECOND for number in range(len(found))]
    done = list(scheduler.get_jobs({"schedule": "tick"}))
    assert all(job.schedule == "tick" and job.result_value["data"] == {"n": 1} for job in done if job.result_value)
    lateness = [(job.to_dict()["created"] - job.scheduled_at).total_seconds() for job in done if job.scheduled_at]
    assert min(lateness) >= 0


def test_a_job_sees_its_schedule_and_its_time(scheduler: Scheduler, node: NodeProcess) -> None:
    scheduler.schedules.add("told", "told", every=3600)
    process = scheduler.schedules.run("told")
    assert (process.wait(30).status, process.schedule) == (Status.DONE, "told")
    assert process.result_value == ["told", process.scheduled_at]


def test_many_processes_add_each_run_once(scheduler: Scheduler, uri: str) -> None:
    scheduler.schedules.add("tick", Noop, every=1, overlap="allow", missed="all")
    next_at = rewind(scheduler, 30)
    others = [Scheduler(uri) for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(look, others))
    finally:
        for other in others:
            other.close()
    found = runs(scheduler)
    assert found == [next_at + number * SECOND for number in range(len(found))]
    assert len(found) >= 30


def settled(scheduler: Scheduler) -> bool:
    """Looks once; whether nothing that was decided is left to do."""
    add_due_runs(scheduler.store)
    return "adding" not in (scheduler.store.schedules.get("tick") or {})


class DiedError(Exception):
    """The process ended here."""


@pytest.mark.parametrize("step", ["insert", "settle"])
def test_a_process_that_dies_between_two_steps_neither_loses_nor_doubles_a_run(
    scheduler: Scheduler, uri: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.schedules.add("tick", Noop, every=1, overlap="allow", missed="all")
    next_at = rewind(scheduler, 5)

    def die(*_: Any) -> None:
        raise DiedError

    with Scheduler(uri) as dying, monkeypatch.context() as patch:
        if step == "insert":
            patch.setattr(dying.store.inserts, "insert_missing", die)
        else:
            patch.setattr(dying.store.schedules, "settle", die)
        with pytest.raises(DiedError):
            add_due_runs(dying.store)
    decided = scheduler.store.schedules.get("tick")
    assert decided is not None
    assert "adding" in decided
    eventually(lambda: settled(scheduler), 30)
    found = runs(scheduler)
    assert found == [next_at + number * SECOND for number in range(len(found))]
    assert len(found) >= 5


def test_a_write_that_fails_changes_nothing(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler.schedules.add("tick", Noop, every=1)
    rewind(scheduler, 3)

    def fail(*_: Any) -> None:
        raise AutoReconnect("cut")

    with monkeypatch.context() as patch:
        patch.setattr(scheduler.store.schedules, "decide", fail)
        with pytest.raises(AutoReconnect):
            add_due_runs(scheduler.store)
    assert runs(scheduler) == []
    look(scheduler)
    assert len(runs(scheduler)) == 1


def buffered(scheduler: Scheduler) -> int:
    return len((scheduler.store.schedules.get("tick") or {}).get("buffered", ()))


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", lambda added, put_off, skipped: added == 1 and not put_off and skipped > 1),
        ("allow", lambda added, put_off, skipped: added > 2 and not put_off and not skipped),
        ("buffer_one", lambda added, put_off, skipped: added == 1 and put_off == 1 and skipped > 0),
        ("buffer_all", lambda added, put_off, skipped: added == 1 and put_off > 1 and not skipped),
        ("cancel_other", lambda added, put_off, skipped: added > 2 and not put_off),
    ],
)
def test_what_a_run_does_while_the_one_before_is_live(
    scheduler: Scheduler, overlap: str, expected: Callable[[int, int, int], bool]
) -> None:
    scheduler.schedules.add("tick", Noop, every=1, overlap=overlap)
    eventually(lambda: add_due_runs(scheduler.store) > 0 and runs(scheduler), 30)
    first = min(scheduler.get_jobs({"schedule": "tick"}), key=lambda run: run.scheduled_at or FAR)

    def as_expected() -> bool:
        add_due_runs(scheduler.store)
        return bool(expected(len(runs(scheduler)), buffered(scheduler), scheduler.schedules.get("tick").skipped))

    eventually(as_expected, 30)
    known = scheduler.schedules.get("tick")
    assert len(known.skipped_times) == known.skipped
    assert not set(known.skipped_times) & set(runs(scheduler))
    assert (first.refresh().status is Status.CANCELED) is (overlap == "cancel_other")
    if overlap.startswith("buffer"):
        first.cancel()
        eventually(lambda: add_due_runs(scheduler.store) >= 0 and len(runs(scheduler)) == 2, 30)


@pytest.mark.parametrize(("missed", "expected"), [("latest", 1), ("skip", 0), ("all", 24)])
def test_what_becomes_of_times_that_nobody_was_there_for(scheduler: Scheduler, missed: str, expected: int) -> None:
    for name in map("hourly-{}".format, range(9)):
        schedule = scheduler.schedules.add(name, Noop, every=3600, missed=missed, overlap="allow", missed_window=86_400)
        assert schedule.next_at is not None
        if 60 < (schedule.next_at - datetime.now(UTC)).total_seconds() < 3000:
            break  # the time before is not one of those that are still on time
    rewind(scheduler, 48 * 3600, name)
    look(scheduler)
    assert len(runs(scheduler, name)) == expected
    next_at = scheduler.schedules.get(name).next_at
    assert next_at is not None
    assert next_at > datetime.now(UTC)


def test_a_paused_schedule_adds_no_runs_and_goes_on_with_its_next_time(scheduler: Scheduler) -> None:
    scheduler.schedules.add("tick", Noop, every=1, overlap="allow")
    schedule = scheduler.schedules.pause("tick", reason="SMTP is down")
    assert (schedule.paused, schedule.reason, schedule.next_at) == (True, "SMTP is down", None)
    look(scheduler)
    rewind(scheduler, 5)
    look(scheduler)
    assert runs(scheduler) == []
    assert scheduler.schedules.add("tick", Noop, every=1).paused, "also after it was defined anew"
    now = scheduler.store.clock.now()
    resumed = scheduler.schedules.resume("tick")
    assert (resumed.paused, resumed.reason) == (False, None)
    assert resumed.next_at is not None
    assert resumed.next_at > now


def test_no_jump_of_the_servers_clock_runs_a_time_twice(scheduler: Scheduler) -> None:
    scheduler.schedules.add("tick", Noop, every=1, overlap="allow")
    clock, hour = scheduler.store.clock, timedelta(hours=1)
    eventually(lambda: add_due_runs(scheduler.store) >= 0 and len(runs(scheduler)) >= 2)
    before, began = runs(scheduler), clock.monotonic()
    clock.synchronize(clock.now() + hour, clock.monotonic())
    look(scheduler)
    ahead, lasted = runs(scheduler), clock.monotonic() - began
    assert ahead[: len(before)] == before
    assert 10 <= len(ahead) - len(before) <= 13 + lasted, "those of the last ten seconds; the others were missed"
    clock.synchronize(clock.now() - hour, clock.monotonic())
    look(scheduler)
    assert runs(scheduler) == ahead, "it waits until its next time comes"
    scheduler.schedules.pause("tick")
    resumed = scheduler.schedules.resume("tick").next_at
    assert resumed is not None
    assert resumed - clock.now() <= SECOND
    eventually(lambda: add_due_runs(scheduler.store) >= 0 and len(runs(scheduler)) > len(ahead))
    assert len(set(runs(scheduler))) == len(runs(scheduler))


def test_after_so_many_runs_it_is_over(scheduler: Scheduler) -> None:
    scheduler.schedules.add("tick", Noop, every=1, runs=3, missed="all", overlap="allow")
    rewind(scheduler, 10)
    look(scheduler)
    schedule = scheduler.schedules.get("tick")
    assert (len(runs(scheduler)), schedule.runs_made, schedule.next_at) == (3, 3, None)


def test_the_same_name_again_changes_it(scheduler: Scheduler) -> None:
    first = scheduler.schedules.add("tick", Noop, every=3600)
    assert scheduler.schedules.add("tick", Echo, {"n": 2}, every=3600).next_at == first.next_at
    changed = scheduler.schedules.add("tick", Echo, {"n": 2}, cron="@hourly", timezone="Europe/Zurich", retry=3)
    assert (changed.job, changed.data, changed.cron, changed.every) == ("echo", {"n": 2}, ("@hourly",), None)
    assert [schedule.name for schedule in scheduler.schedules.all()] == ["tick"]
    assert scheduler.schedules.run("tick").options["retry"] == 3


def test_a_backfill_adds_what_is_not_there(scheduler: Scheduler) -> None:
    scheduler.schedules.add("daily", Noop, cron="0 0 * * *")
    end = datetime.now(UTC)
    added = scheduler.schedules.backfill("daily", end - timedelta(days=10), end)
    assert len(added) == 10
    assert scheduler.schedules.backfill("daily", end - timedelta(days=12), end) != []
    assert len(runs(scheduler, "daily")) == 12


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "give cron, every or rrule"),
        ({"cron": "61 * * * *"}, "minute"),
        ({"every": 0.5}, "between 1 and"),
        ({"every": 60, "at": 5}, "option at is not for a schedule"),
        ({"every": 60, "interval": 5}, "option interval is not for a schedule"),
        ({"every": 60, "unique_for": 5}, "option unique_for is not for a schedule: .* give overlap"),
        ({"every": 60, "debounce": 5}, "option debounce is not for a schedule: the timetable says when it runs"),
        ({"every": 60, "retires": 5}, "did you mean retry"),
        ({"every": 60, "overlap": "skp"}, "did you mean skip"),
        ({"every": 60, "timezone": "Mars"}, "IANA name"),
        ({"every": 60, "start": datetime(2027, 1, 1)}, "time zone"),  # noqa: DTZ001
        ({"every": 60, "exclude": ["2027-13-01"]}, "cannot be read|fields"),
        ({"rrule": "FREQ=SECONDLY"}, "too often"),
        ({"cron": "* * * * *", "exclude": ["* * * * *"]}, "no time"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_stored(
    scheduler: Scheduler, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidOptionError, match=reason):
        scheduler.schedules.add("bad", Noop, **given)
    assert scheduler.schedules.all() == []


def test_an_unknown_name_is_an_error(scheduler: Scheduler) -> None:
    for method in ("get", "pause", "resume", "delete", "run"):
        with pytest.raises(ScheduleNotFoundError, match="no schedule 'none'"):
            getattr(scheduler.schedules, method)("none")
        for odd in (5, None, {"$ne": 1}, ["x"], "x\ud800"):
            with pytest.raises(ScheduleNotFoundError):
                getattr(scheduler.schedules, method)(odd)


def test_odd_arguments_are_refused_with_what_is_allowed(scheduler: Scheduler) -> None:
    schedule, now = scheduler.schedules.add("daily", Noop, cron="@daily"), datetime.now(UTC)
    odd: list[tuple[Callable[[], Any], str]] = [
        (lambda: schedule.next_times(-1), "count must be between 0 and 10000"),
        (lambda: schedule.next_times(cast(Any, "x")), "count must be an integer"),
        (lambda: scheduler.schedules.pause("daily", cast(Any, 5)), "at most 500 characters, not 5"),
        (lambda: scheduler.schedules.pause("daily", "x\ud800"), "printable"),
        (lambda: scheduler.schedules.backfill("daily", datetime.min.replace(tzinfo=UTC), now), "years 1970 to"),
        (lambda: scheduler.schedules.backfill("daily", now, now.replace(tzinfo=None)), "time zone"),
        (lambda: scheduler.schedules.backfill("daily", cast(Any, "2027"), now), "aware datetime, not '2027'"),
        (lambda: scheduler.schedules.add("x\ud800", Noop, every=60), "printable name"),
    ]
    for call, reason in odd:
        with pytest.raises(InvalidOptionError, match=reason):
            call()
    assert not scheduler.schedules.get("daily").paused


def test_a_schedule_that_cannot_be_read_is_set_aside(scheduler: Scheduler) -> None:
    scheduler.schedules.add("good", Noop, every=1)
    scheduler.schedules.add("odd", Noop, every=1)
    for odd in ({"times": {"cron": ["x"]}}, {"times": 5}, {"next_at": "soon"}, {"job": None}, {"rev": "x"}):
        scheduler.store.schedules.collection.update_one(
            {"_id": "odd"}, {"$set": {"due_at": datetime.now(UTC) - timedelta(days=1), **odd}}
        )
        rewind(scheduler, 3, "good")
        look(scheduler)
    assert len(runs(scheduler, "good")) >= 1


def test_the_same_from_an_event_loop(uri: str) -> None:
    async def use() -> None:
        async with AsyncScheduler(uri) as scheduler:
            schedule = await scheduler.schedules.add("tick", Noop, every=60)
            assert schedule.next_at is not None
            process = await scheduler.schedules.run("tick")
            assert (await scheduler.get_job(process.id)).schedule == "tick"
            assert [one.name for one in await scheduler.schedules.all()] == ["tick"]
            await scheduler.schedules.delete("tick")

    asyncio.run(use())


def test_in_a_test_an_hour_passes_in_a_moment(scheduler: Scheduler) -> None:
    node = InlineNode(scheduler)
    scheduler.schedules.add("tick", Echo, {"n": 1}, every=600)
    assert node.run_until_idle() == []
    for _ in range(6):
        node.advance(600)
        assert [process.schedule for process in node.run_until_idle()] == ["tick"]


def test_in_a_test_all_times_of_an_hour_come_at_once(scheduler: Scheduler) -> None:
    node = InlineNode(scheduler)
    scheduler.schedules.add("tick", Echo, {"n": 1}, every=600, overlap="allow")
    node.advance(timedelta(hours=1))
    ran = node.run_until_idle()
    assert len(ran) in (6, 7)  # one more if a time came, by the clock of the server, since it was added
    times = sorted(process.scheduled_at for process in ran if process.scheduled_at)
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=10)}


@pytest.mark.parametrize(
    ("every", "days", "overlap", "expected"),
    [(60, 1, "allow", 1440), (60, 1, "skip", 1), (600, 1, "buffer_all", 1)],
)
def test_a_test_misses_no_time_however_much_of_it_passes_at_once(
    scheduler: Scheduler, every: int, days: float, overlap: str, expected: int
) -> None:
    node = InlineNode(scheduler)
    scheduler.schedules.add("tick", Noop, every=every, overlap=overlap, missed="skip")
    node.advance(timedelta(days=days))
    schedule, found = scheduler.schedules.get("tick"), runs(scheduler)
    assert abs(len(found) - expected) <= (expected > 1), "one more or less, since it begins at any moment"
    assert {later - earlier for earlier, later in pairwise(found)} <= {timedelta(seconds=every)}
    if overlap == "skip":
        assert schedule.skipped >= 1438
    elif overlap == "buffer_all":
        assert buffered(scheduler) >= 142


def test_in_a_test_as_well_a_schedule_may_be_paused_and_end(scheduler: Scheduler) -> None:
    node = InlineNode(scheduler)
    scheduler.schedules.add("tick", Noop, every=60, overlap="allow", runs=5)
    scheduler.schedules.add("off", Noop, every=60)
    scheduler.schedules.pause("off")
    node.advance(3600)
    assert (len(runs(scheduler)), scheduler.schedules.get("tick").next_at, runs(scheduler, "off")) == (5, None, [])


DECLARING = """
from taskscheduler import job, schedule


@schedule({options}, overlap="allow")
@job(name="declared", retry=2)
def declared(n=1):
    return n
"""


def module(tmp_path: Path, name: str, options: str) -> dict[str, Any]:
    """The options of a node whose job module declares a schedule."""
    (tmp_path / f"{name}.py").write_text(DECLARING.format(options=options))
    return {"late": f"import sys; sys.path.insert(0, {str(tmp_path)!r})", "jobs": [name], "orphaned_timeout": 2}


def state(scheduler: Scheduler) -> Any:
    try:
        return scheduler.schedules.get("declared")
    except ScheduleNotFoundError:
        return None


def test_a_schedule_of_the_code_runs_as_long_as_a_live_node_declares_it(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    first = start_node(**module(tmp_path, "declared_once", "every=1, data={'n': 5}"))
    eventually(lambda: any(job.result_value == 5 for job in scheduler.get_jobs({"schedule": "declared"})), 30)
    declared = state(scheduler)
    assert (declared.owner, declared.every, declared.undeclared) == ("code", 1, False)
    assert next(scheduler.get_jobs({"schedule": "declared"})).options["retry"] == 2
    assert first.stop() == 0
    assert (state(scheduler).undeclared, state(scheduler).next_at) == (True, None)
    other = start_node()
    count = len(runs(scheduler, "declared"))
    again = start_node(**module(tmp_path, "declared_again", "every=1"))
    eventually(lambda: len(runs(scheduler, "declared")) > count, 30)
    again.kill()
    eventually(lambda: state(scheduler).undeclared, 20, "nobody declares it")
    assert other.process.poll() is None


def boots(scheduler: Scheduler) -> list[ObjectId]:
    """The sessions of nodes that declare the schedule."""
    return list((scheduler.store.schedules.get("declared") or {}).get("boots", ()))


def lose_lease(scheduler: Scheduler, boot: ObjectId) -> None:
    """Declares a living node lost, which begins a new session as soon as it learns of it."""
    nodes = scheduler.store.nodes
    eventually(lambda: (node := nodes.find(boot)) and nodes.declare_lost(boot, node["beat"]), 30)


def test_the_declaration_of_the_newest_node_wins_and_a_pause_survives(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    old = start_node(**module(tmp_path, "declared_old", "every=3600"))
    eventually(lambda: state(scheduler), 30)
    (first,) = boots(scheduler)
    scheduler.schedules.pause("declared", reason="not yet")
    start_node(**module(tmp_path, "declared_new", "cron='0 3 * * *', timezone='Europe/Zurich'"))
    eventually(lambda: state(scheduler).cron == ("0 3 * * *",), 30)
    assert (state(scheduler).paused, state(scheduler).reason) == (True, "not yet")
    lose_lease(scheduler, first)
    eventually(
        lambda: first not in boots(scheduler) and len(boots(scheduler)) == 2, 20, "the old one, in a new session"
    )
    assert state(scheduler).cron == ("0 3 * * *",), "an old node that declares it again does not change it back"
    assert (state(scheduler).paused, old.process.poll()) == (True, None)


def test_a_schedule_of_the_database_is_not_taken_over_by_the_code(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    scheduler.schedules.add("declared", Noop, every=7200)
    node = start_node(**module(tmp_path, "declared_too", "every=1"))
    eventually(lambda: "the database has one of this name" in node.log.read_text(), 30)
    assert (state(scheduler).owner, state(scheduler).every) == ("database", 7200)


def test_the_plan_shows_what_the_code_would_change(scheduler: Scheduler, uri: str, tmp_path: Path) -> None:
    scheduler.schedules.add("declared", Noop, every=60)
    module(tmp_path, "declared_plan", "cron='30 2 28-31 3 *', timezone='Europe/Berlin'")
    program = Path(sys.executable).parent / "taskscheduler"
    command = [str(program), "schedule", "plan", "-u", uri, "--jobs", "declared_plan"]
    told = commands.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.startswith("taken   declared")
    scheduler.schedules.delete("declared")
    told = commands.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    first, *times = told.splitlines()
    assert first == "add     declared"
    assert len(times) == 5
    assert any("the clocks change on this day" in time for time in times)


def test_odd_schedules_cost_only_themselves(
    scheduler: Scheduler, uri: str, node: NodeProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stands in one field, alone among good ones."""
    scheduler.schedules.add("model", Noop, every=3600)
    model = scheduler.store.schedules.get("model")
    assert model is not None
    collection = scheduler.store.schedules.collection
    for field, values in ODD.items():
        for number, value in enumerate(values):
            odd = {**model, "_id": f"odd {field} {number}", "due_at": PAST, field: value}
            collection.insert_one({name: value for name, value in odd.items() if value is not None})
    unreadable = {**model, "_id": "odd data", "due_at": PAST, "job": {**model["job"], "data": LATIN_1}}
    collection.insert_one(unreadable)
    schedule = scheduler.schedules.add("tick", Echo, {"n": 1}, every=1, overlap="allow")
    first = schedule.next_at
    assert first is not None
    eventually(lambda: len(runs(scheduler)) >= 3, 20, "a good one runs on")
    assert runs(scheduler)[:3] == [first + number * SECOND for number in range(3)]
    late = {"due_at": {"$type": "date", "$lt": PAST + SECOND}}
    eventually(lambda: collection.count_documents(late) == 0, 20, "nobody looks at the odd ones again and again")
    assert len(scheduler.schedules.all()) == collection.count_documents({})
    for output in ("table", "json"):
        assert main(["--uri", uri, "schedule", "list", "-o", output]) == 0
    assert "unreadable" in capsys.readouterr().out
    odd_names = some(collection.distinct("_id", {"_id": {"$type": "string"}}))
    for name, other in zip(odd_names, cycle(("next", "pause", "resume")), strict=False):
        for command in ("show", other, "delete"):
            assert main(["--uri", uri, "schedule", command, name]) in (0, 2, 5)
            shown = capsys.readouterr()
            assert "this is a bug" not in shown.err, (command, name, shown.err)
    assert collection.count_documents({"_id": {"$in": odd_names}}) == 0
    assert "Traceback" not in node.log.read_text()


@pytest.mark.parametrize("odd", [[PAST], [FAR], DatetimeMS(2**60), FAR, "x", None], ids=repr)
def test_nobody_waits_for_a_date_that_never_comes(scheduler: Scheduler, odd: Any) -> None:
    scheduler.schedules.add("good", Noop, every=3600)
    schedules = scheduler.store.schedules
    schedules.collection.update_one({"_id": "good"}, {"$set": {"due_at": odd}})
    assert schedules.next_due() is None
    scheduler.schedules.add("other", Noop, every=3600)
    assert schedules.next_due() is not None


def test_a_date_before_those_of_python_has_come(scheduler: Scheduler) -> None:
    schedule = scheduler.schedules.add("good", Noop, every=3600)
    schedules = scheduler.store.schedules
    schedules.collection.update_one({"_id": "good"}, {"$set": {"due_at": DatetimeMS(-(2**60))}})
    first = schedules.next_due()
    assert first is not None
    assert first < datetime.now(UTC)
    add_due_runs(scheduler.store)
    assert schedules.next_due() == schedule.next_at


@pytest.mark.parametrize("at", ["the decision", "its runs"])
def test_a_schedule_that_the_database_refuses_is_set_aside_alone(scheduler: Scheduler, at: str) -> None:
    store, names = scheduler.store, ("a", "b", "c", "d")
    for name in names:
        scheduler.schedules.add(name, Noop, every=1, overlap="allow")
        rewind(scheduler, 3, name)
    refusing = store.schedules.collection if at == "the decision" else store.jobs.collection
    rule = {"$nor": [{"_id": "b", "token": {"$exists": True}}, {"schedule": "b"}]}
    store.database.command("collMod", refusing.name, validator=rule)

    def is_over() -> bool:
        add_due_runs(store)
        aside = store.schedules.collection.count_documents({"_id": "b", "due_at": {"$exists": False}}) == 1
        return aside and all(runs(scheduler, name) for name in names if name != "b")

    eventually(is_over, 30, "it is set aside, and the good ones run")
    assert runs(scheduler, "b") == []


def test_a_schedule_for_which_nothing_can_be_decided_is_set_aside_alone(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        scheduler.schedules.add(name, Noop, every=1)
        rewind(scheduler, 3, name)
    decided = vars(schedule_runs)["next_step"]

    def step(state: Any, now: datetime) -> Any:
        if state.timetable is odd:
            raise OverflowError("date value out of range")
        return decided(state, now)

    made = schedule_runs._Due
    odd: Any = None

    class Due(made):  # type: ignore[misc, valid-type]
        def __init__(self, document: Any) -> None:
            nonlocal odd
            super().__init__(document)
            if self.name == "b":
                odd = self.timetable

    monkeypatch.setattr(schedule_runs, "_Due", Due)
    monkeypatch.setattr(schedule_runs, "next_step", step)
    eventually(lambda: add_due_runs(scheduler.store) and runs(scheduler, "a") and runs(scheduler, "c"), 30, "they run")
    assert runs(scheduler, "b") == []
    assert ["OverflowError: date value out of range" in one.__dict__["reason"] for one in caplog.records] == [True]


def test_a_run_gets_only_what_a_schedule_may_say(scheduler: Scheduler) -> None:
    forged = {"_id": "mine", "status": 3, "claim": "c", "service": {}, "program": {}, "once": "k", "attempt": 7}
    scheduler.schedules.add("forged", Noop, every=1)
    rewind(scheduler, 3, "forged")
    scheduler.store.schedules.collection.update_one({}, {"$set": {f"job.{key}": forged[key] for key in forged}})
    add_due_runs(scheduler.store)
    (job,) = scheduler.get_jobs({"schedule": "forged"})
    assert not forged.items() & job.to_dict().items()


def test_an_odd_schedule_is_mended_by_adding_it_anew(scheduler: Scheduler) -> None:
    scheduler.schedules.add("model", Noop, every=3600)
    model = scheduler.store.schedules.get("model")
    assert model is not None
    collection = scheduler.store.schedules.collection
    for field, value in [(field, value) for field, values in ODD.items() if field != "_id" for value in values]:
        odd = {**model, "_id": "odd", field: value}
        collection.replace_one({"_id": "odd"}, odd, upsert=True)
        schedule = scheduler.schedules.add("odd", Noop, every=3600)
        assert (schedule.fault, schedule.next_at is not None or schedule.paused) == (None, True), (field, value)


def test_nodes_mend_the_odd_schedules_that_they_declare(scheduler: Scheduler) -> None:
    """And end, whatever has become of those that they have declared."""
    store, boot = scheduler.store, ObjectId()
    one = DeclaredSchedule("odd", "noop", None, {"every": 3600}, {}, False, False, False)
    declare(store, boot, [one], datetime.now(UTC))
    model = store.schedules.get("odd")
    assert model is not None
    fields = {field: values for field, values in ODD.items() if field not in ("_id", "owner")}
    for field, value in [(field, value) for field, values in fields.items() for value in values]:
        store.schedules.collection.replace_one({"_id": "odd"}, {**model, field: value})
        assert difference([one], store.schedules.all())[0][1] == "odd"
        withdraw(store, boot)
        store.schedules.collection.replace_one({"_id": "odd"}, {**model, field: value})
        declare(store, ObjectId(), [one], datetime.now(UTC))
        schedule = scheduler.schedules.get("odd")
        assert (schedule.fault, schedule.next_at is not None or schedule.paused) == (None, True), (field, value)
