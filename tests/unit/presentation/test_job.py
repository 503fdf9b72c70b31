"""How jobs, ids and log records look, without a database."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from taskscheduler.errors import InvalidOptionError, JobNotFoundError, WaitTimeoutError
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.cli.exit_codes import ExitCode, exit_code
from taskscheduler_daemon.cli.input.ids import resolve, resolve_all
from taskscheduler_daemon.cli.input.node_options import chosen
from taskscheduler_daemon.cli.output import tables
from taskscheduler_daemon.logs import CompactFormatter
from taskscheduler_daemon.presentation.job import COLUMNS, LOOKS, count, note, row, run_time, state, tries
from taskscheduler_daemon.presentation.node import LOST, SILENT, UP, describe, node_state, serves
from taskscheduler_daemon.presentation.text import clean, json_line, json_pretty, tsv

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
SCHEDULER: Any = None


def job(status: Status, *, options: dict[str, Any] | None = None, **fields: Any) -> Process:
    document = {
        "_id": ObjectId("6a5f01c2e26cf26c6d0ede69"),
        "class": "Mail",
        "status": int(status),
        "created": NOW - timedelta(minutes=8),
        "attempt": 0,
        "options": {"retry": 0, "interval": 0, **(options or {})},
        **fields,
    }
    return Process(SCHEDULER, document)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_a_running_job_in_a_row() -> None:
    running = job(
        Status.PROCESSING, options={"retry": 2}, attempt=2, started=ago(118), progress=82.0, message="3.2 of 3.9 GB"
    )
    expected = ("6a5f01c2e26cf26c6d0ede69", "Mail", "processing", "2/3", "8m", "1m58s", "82% 3.2 of 3.9 GB")
    assert row(running, NOW) == expected
    assert len(expected) == len(COLUMNS)


@pytest.mark.parametrize(
    ("process", "text"),
    [
        (job(Status.POSTPONED, at=NOW + timedelta(hours=2)), "due in 2h"),
        (job(Status.POSTPONED, at=ago(1)), "due now"),
        (
            job(
                Status.POSTPONED,
                at=NOW + timedelta(seconds=24),
                retries=1,
                error={"type": "OSError", "message": "no\nx"},
            ),
            "retry in 24s; OSError: no",
        ),
        (job(Status.POSTPONED, at=NOW + timedelta(hours=2), options={"interval": 86_400}), "due in 2h; every 1d"),
        (job(Status.WAITING, options={"interval": -1}), "again and again"),
        (job(Status.FAILED, progress=40.0, error={"type": "KeyError", "message": ""}), "40%; KeyError"),
        (job(Status.DONE, progress=100.0, message="42 sent", options={"interval": 60}), "42 sent"),
        (job(Status.CANCELED), ""),
        (job(Status.POSTPONED, at=datetime(9999, 1, 1, tzinfo=UTC), parked_at=NOW), "waits for its turn"),
        (job(Status.PROCESSING, program={"pid": 7, "host": "a"}, progress=50.0), "pid 7 on a; 50%"),
        (job(Status.PROCESSING, program={"pid": 7}), "pid 7 on ?"),
        (job(Status.PROCESSING, service={"name": "feed"}, attempt=3), "service feed"),
        (job(Status.WAITING, service={"name": "Mail"}), "service"),
        (
            job(Status.POSTPONED, service={"name": "Mail"}, attempt=1, retries=1, at=NOW + timedelta(seconds=4)),
            "service; starts again in 4s",
        ),
    ],
)
def test_the_note_says_what_matters_now(process: Process, text: str) -> None:
    assert note(process, NOW) == text


def test_lost_attempts_do_not_look_like_too_many_tries() -> None:
    assert tries(job(Status.PROCESSING, attempt=2, lost=1)) == "2/2"
    assert tries(job(Status.DONE, attempt=1)) == "1"
    assert tries(job(Status.PROCESSING, attempt=7, options={"retry": -1})) == "7/*"
    assert tries(job(Status.WAITING)) == ""
    assert tries(job(Status.PROCESSING, attempt=9, lost=2, service={"name": "feed"})) == "9"


def test_the_run_time_is_that_of_an_attempt_that_runs_or_has_ended() -> None:
    assert run_time(job(Status.POSTPONED, started=ago(60), ended=ago(50)), NOW) == ""
    assert run_time(job(Status.DONE, started=ago(60), ended=ago(50)), NOW) == "10s"
    assert run_time(job(Status.CANCELED, started=None, ended=ago(50)), NOW) == ""
    assert run_time(job(Status.PROCESSING, started=NOW + timedelta(seconds=1)), NOW) == "0s"


def test_every_status_has_a_sign_of_its_own_without_colour() -> None:
    assert set(LOOKS) == set(Status)
    assert len({look.glyph for look in LOOKS.values()}) == len({look.ascii for look in LOOKS.values()}) == len(Status)
    assert all(look.ascii.isascii() for look in LOOKS.values())
    assert all(cell_len(state(status, True)) == len(status.label) + 2 for status in Status)


def test_counts_go_no_further_than_ten_thousand() -> None:
    assert [count(0), count(10_000), count(10_001)] == ["0", "10000", "10k+"]


@given(st.text())
def test_nothing_that_a_job_says_can_steer_a_terminal(text: str) -> None:
    assert clean(text).isprintable()
    assert all(char.isprintable() for char in json_line({"value": text}))
    assert json.loads(json_pretty([text])) == [text]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_tsv_has_one_line_and_can_be_read_back(cells: list[str]) -> None:
    line = tsv(cells)
    assert line.isprintable() or set(line) & {"\t"}
    assert [_read_back(cell) for cell in line.split("\t")] == cells


def _read_back(cell: str) -> str:
    """The escapes are Python's; what is printable stands for itself."""
    lengths = {"x": 4, "u": 6, "U": 10}
    parts, at = [], 0
    while at < len(cell):
        length = 1 if cell[at] != "\\" else lengths.get(cell[at + 1], 2)
        piece = cell[at : at + length]
        parts.append(piece.encode("ascii").decode("unicode_escape") if piece.startswith("\\") else piece)
        at += length
    return "".join(parts)


def test_the_note_and_then_the_name_give_way_to_a_narrow_terminal() -> None:
    cells = ["6a5f01c2e26cf26c6d0ede69", "my.long.package.with.Name" * 2, "o waiting", "1", "8m", "", "n" * 200]
    widths = tables.fit([list(COLUMNS), cells], 100)
    assert sum(widths) + 2 * (len(widths) - 1) == 100
    assert widths[0] == 24
    assert tables.fit([list(COLUMNS), cells], None)[-1] == 200


@given(st.text(max_size=40).map(clean), st.integers(4, 30))
def test_cut_cells_have_the_width_of_their_column_whatever_the_script(text: str, width: int) -> None:
    for cell in tables._padded([text] * len(COLUMNS), [width] * len(COLUMNS), ".."):
        assert cell_len(cell) == width


IDS = [ObjectId("6a5f01c2e26cf26c6d0ede69"), ObjectId("6a5f01c2e26cf26c6d1ede69"), ObjectId("6a5f01c2e26cf26c6dabcdef")]


def test_an_id_may_be_its_end_if_that_is_unique() -> None:
    assert resolve("ABCDEF", lambda: IDS) == IDS[2]
    assert resolve("…abcdef", lambda: IDS) == IDS[2]
    assert resolve(str(IDS[0]), list) == IDS[0]
    with pytest.raises(InvalidOptionError, match=f"{IDS[0]}, {IDS[1]}"):
        resolve("ede69", lambda: IDS)
    with pytest.raises(JobNotFoundError):
        resolve("00000", lambda: IDS)


@pytest.mark.parametrize("text", ["", "ede6", "xyzzy", "6a5f01c2e26cf26c6d0ede69aa", "--all"])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError):
        resolve(text, lambda: IDS)


def test_the_recent_ids_are_read_once_and_ids_given_twice_count_once() -> None:
    asked: list[int] = []

    def recent() -> list[ObjectId]:
        asked.append(1)
        return IDS

    assert resolve_all(["abcdef", "0ede69", str(IDS[2])], recent) == [IDS[2], IDS[0]]
    assert len(asked) == 1


def test_when_a_node_counts_as_up() -> None:
    assert node_state({"silent": 1.0, "lease": 30}) == UP
    assert node_state({"silent": 31.0, "lease": 30}) == SILENT
    assert node_state({"silent": 31.0, "lease": 30, "lost": True}) == LOST
    assert serves({"queues": []}, "mail")
    assert not serves({"queues": ["files"]}, "mail")


def test_a_node_tells_its_slots_and_jobs_apart() -> None:
    def told(**facts: int) -> str:
        return describe({"slots": 2, **facts})[1][1]

    assert told(running=1) == "1/2 busy"
    assert told(running=5) == "2/2 busy, 5 jobs in all"
    assert told(running=57, busy=1) == "1/2 busy, 57 jobs in all"
    assert told(running=1, busy=0) == "0/2 busy, 1 job in all"
    assert describe({})[1][1] == "0/? busy"


def test_only_what_was_given_reaches_the_node() -> None:
    given_options = {"jobs": ("a.b,c", "d"), "queue": (), "pm": None, "min_children": 0, "name": "n"}
    assert chosen(given_options) == {"jobs": ["a.b", "c", "d"], "min_children": 0, "name": "n"}


def test_exit_codes_of_errors() -> None:
    assert exit_code(WaitTimeoutError("x")) is ExitCode.TIMED_OUT
    assert exit_code(JobNotFoundError("x")) is ExitCode.NOT_FOUND
    assert exit_code(InvalidOptionError("x")) is ExitCode.USAGE


def test_a_log_line_has_the_extra_fields_and_stays_one_line() -> None:
    record = logging.makeLogRecord(
        {"msg": "node %s\nstarted", "args": ("a",), "levelname": "INFO", "created": 0.123, "node": "web 1", "pid": 7}
    )
    line = CompactFormatter().format(record)
    assert line == '1970-01-01T00:00:00.123Z INFO  node a\\nstarted node="web 1" pid=7'
