"""The beat_schedule of a Celery application as calls of ours. Celery is not installed: its objects are imitated."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskscheduler_daemon.contrib.celery_beat.__main__ import main
from taskscheduler_daemon.contrib.celery_beat.entries import Translated, translated

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RANGES = {
    "minute": range(60),
    "hour": range(24),
    "day_of_week": range(7),
    "day_of_month": range(1, 32),
    "month_of_year": range(1, 13),
}


def crontab(**written: tuple[str, set[int]]) -> Any:
    """What celery.schedules.crontab keeps: for each field what was written, and the set of values that it means."""
    fields: dict[str, Any] = {}
    for name, values in RANGES.items():
        fields[f"_orig_{name}"], fields[name] = written.get(name, ("*", set(values)))
    return SimpleNamespace(**fields)


def entry(schedule: Any, timezone: str = "UTC", **more: Any) -> Translated:
    return translated("nightly", {"task": "proj.report", "schedule": schedule, **more}, timezone, NOW)


def call(schedule: Any, timezone: str = "UTC", **more: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the written call gives to `schedules.add`."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    add = SimpleNamespace(add=lambda *args, **options: found.append((args, options)))
    written = entry(schedule, timezone, **more)
    assert written.call is not None, written.remarks
    exec(written.call, {"scheduler": SimpleNamespace(schedules=add)})  # noqa: S102 - the text is what is tested
    return found[0]


def reason(schedule: Any, **more: Any) -> str:
    written = entry(schedule, **more)
    assert written.call is None
    return written.remarks[0]


@pytest.mark.parametrize(
    ("schedule", "every"),
    [
        (30, 30),
        (30.0, 30),
        (1.5, 1.5),
        (timedelta(hours=6), 21600),
        (SimpleNamespace(run_every=timedelta(minutes=5), relative=False), 300),
    ],
)
def test_seconds_and_timedeltas_are_intervals(schedule: Any, every: float) -> None:
    assert call(schedule) == (("nightly", "proj.report"), {"every": every})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "* * * * *"),
        ({"minute": ("*/15", {0, 15, 30, 45})}, "*/15 * * * *"),
        (
            {"minute": ("30", {30}), "hour": ("7", {7}), "day_of_week": ("mon-fri", {1, 2, 3, 4, 5})},
            "30 7 * * 1,2,3,4,5",
        ),
        ({"minute": ("0", {0}), "hour": ("22-2", {22, 23, 0, 1, 2})}, "0 0,1,2,22,23 * * *"),
        ({"minute": ("0", {0}), "hour": ("0", {0}), "month_of_year": ("january", {1})}, "0 0 * 1 *"),
    ],
)
def test_crontabs_are_cron_expressions_that_mean_the_same(fields: Any, expected: str) -> None:
    assert call(crontab(**fields)) == (("nightly", "proj.report"), {"cron": expected})


def test_a_crontab_has_the_time_zone_of_the_application() -> None:
    assert call(crontab(), "Europe/Zurich")[1] == {"cron": "* * * * *", "timezone": "Europe/Zurich"}
    assert translated("x", {"task": "t", "schedule": crontab()}, "local", NOW).call is None


def test_a_day_of_the_month_and_one_of_the_week_must_both_come_as_in_celery() -> None:
    first_monday = crontab(
        minute=("0", {0}), hour=("8", {8}), day_of_month=("1-7", set(range(1, 8))), day_of_week=("1", {1})
    )
    rule = call(first_monday)[1]["rrule"]
    assert rule == "FREQ=DAILY;BYDAY=MO;BYMONTHDAY=1,2,3,4,5,6,7;BYHOUR=8;BYMINUTE=0;BYSECOND=0"


def test_arguments_are_data() -> None:
    assert call(60, args=(16, "it's"))[0][2] == [16, "it's"]
    assert call(60, kwargs={"kind": "full"})[0][2] == {"kind": "full"}
    assert call(60, args=(), kwargs={})[0] == ("nightly", "proj.report")


def test_options_with_a_counterpart_are_translated_and_others_said() -> None:
    options = {"queue": "reports", "expires": timedelta(minutes=1), "time_limit": 600, "priority": 9, "retry": True}
    assert call(60, options=options)[1] == {"every": 60, "queue": "reports", "start_by": 60.0, "timeout": 600}
    assert entry(60, options=options).remarks == (
        "priority 9 is left out: here higher numbers run first, in Celery the broker decides",
    )
    assert entry(60, options={"routing_key": "a.b"}).remarks == ("option routing_key is left out: 'a.b'",)


@pytest.mark.parametrize(
    ("schedule", "more", "said"),
    [
        (SimpleNamespace(event="sunset", lat=47.4, lon=8.5), {}, "solar schedules such as 'sunset' do not exist here"),
        (SimpleNamespace(clocked_time=NOW), {}, "it runs once; add the job with at="),
        (0.5, {}, "every"),
        (True, {}, "of the type bool is unknown"),
        (60, {"args": (1,), "kwargs": {"a": 1}}, "give all arguments by name"),
        (60, {"args": (object(),)}, "no plain literals"),
        (60, {"options": {"queue": "Big Reports"}}, "queue"),
        (60, {"task": 7}, "it is no mapping with the keys"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_what_to_do(schedule: Any, more: Any, said: str) -> None:
    assert said in reason(schedule, **more)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("beatapp", None)


SOURCE = """
from types import SimpleNamespace
SUN = SimpleNamespace(event="dawn", lat=1)
BEAT = {"good": {"task": "a.b", "schedule": 60}, "sun": {"task": "a.b", "schedule": SUN}}
conf = SimpleNamespace(beat_schedule={"a": {"task": "a.b", "schedule": 60}})
app = SimpleNamespace(conf=conf, timezone="UTC", finalize=lambda: conf.beat_schedule.update(b=conf.beat_schedule["a"]))
"""


def test_the_command_prints_a_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "beatapp.py").write_text(SOURCE)
    assert main(["beatapp:app"]) == 0
    program = capsys.readouterr().out
    compile(program, "program", "exec")
    assert [line.strip() for line in program.splitlines()[3:]] == [
        "scheduler.schedules.add('a', 'a.b', every=60)",
        "scheduler.schedules.add('b', 'a.b', every=60)",
    ]


def test_an_entry_that_is_left_out_is_a_comment_and_exit_code_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "beatapp.py").write_text(SOURCE)
    assert main(["beatapp:BEAT"]) == 1
    said = capsys.readouterr()
    compile(said.out, "program", "exec")
    assert "    # sun is left out: solar schedules such as 'dawn'" in said.out
    assert said.err.startswith("sun is left out: ")


@pytest.mark.parametrize(
    ("source", "place", "said"),
    [
        ("", "beatapp", "must be MODULE:NAME"),
        ("", "nosuchapp:app", "No module named 'nosuchapp'"),
        ("", "beatapp:app", "has no attribute 'app'"),
        ("raise SystemExit(7)", "beatapp:app", "SystemExit: 7"),
        ("app = 7", "beatapp:app", "neither a Celery application nor a mapping, but int"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str, place: str, said: str
) -> None:
    (folder / "beatapp.py").write_text(source)
    assert main([place]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert len(found.err.splitlines()) == 1
