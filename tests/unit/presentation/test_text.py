"""Text that is safe to print and can be read back."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskscheduler_daemon.presentation.clean import clean, clean_lines
from taskscheduler_daemon.presentation.text import aligned, iso, json_line, json_pretty, local, plural, tsv


@given(st.text())
def test_nothing_that_a_job_says_can_steer_a_terminal(text: str) -> None:
    assert clean(text).isprintable()
    assert all(char.isprintable() for char in json_line({"value": text}))
    assert json.loads(json_pretty([text])) == [text]


def test_what_json_leaves_in_texts_is_escaped_in_its_line_alone() -> None:
    assert json_pretty({"a": "\x85", "b": "ä"}) == '{\n  "a": "\\u0085",\n  "b": "ä"\n}'


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


def test_the_lines_of_a_text_are_clean_one_by_one() -> None:
    assert clean_lines("a\tb\n\x1b[31mc") == ["a   b", "\\x1b[31mc"]


def test_columns_are_aligned_without_spaces_at_the_end() -> None:
    assert aligned([("A", "BB", ""), ("CCC", "D", "e")]) == ["A    BB", "CCC  D   e"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs")])
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    assert plural(number, "job") == text


@pytest.mark.parametrize("value", ["now", 17, [1]])
def test_a_stored_value_that_is_no_date_is_shown_as_it_is(value: object) -> None:
    assert local(value) == iso(value) == str(value)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("date", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_the_calendar_are_shown_in_every_zone(
    zone: str, date: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert str(date.year) in local(date)
    finally:
        monkeypatch.undo()
        time.tzset()
