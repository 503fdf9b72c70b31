"""Values of any size stay short on a page, and are cut between their parts."""

from __future__ import annotations

import json

from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from taskscheduler_daemon.web.pages.truncate import (
    MOST_ITEMS,
    MOST_NAME,
    MOST_SHOWN,
    MOST_TEXT,
    clip,
    line,
    shown,
)


def test_a_text_is_clipped_with_the_number_of_missing_characters() -> None:
    assert clip("abcdef", 6) == "abcdef"
    assert clip("abcdefg", 3) == "abc… (4 more characters)"


def test_a_line_is_printable_and_short() -> None:
    assert line("a\nb\x1b") == "a\\nb\\x1b"
    assert line("x" * 121) == "x" * 120 + "…"
    assert line(5, 80) == "5"


def test_small_values_are_shown_whole() -> None:
    value = {"to": "a", "list": [1, None, True, 2.5], "id": ObjectId("6a5f01c2e26cf26c6d0ede69")}
    assert json.loads(shown(value)) == {**value, "id": {"$oid": "6a5f01c2e26cf26c6d0ede69"}}


def test_long_texts_names_and_lists_are_shortened_one_by_one() -> None:
    text, name = "x" * (MOST_TEXT + 5), "n" * (MOST_NAME + 1)
    found = json.loads(shown({"text": text, name: 1, "list": list(range(MOST_ITEMS + 7))}))
    assert found["text"] == "x" * MOST_TEXT + "… (5 more characters)"
    assert "n" * MOST_NAME + "… (1 more characters)" in found
    assert found["list"][MOST_ITEMS:] == [["…", "7 more"]]


def test_a_mapping_says_how_many_items_are_missing() -> None:
    found = json.loads(shown({str(number): number for number in range(MOST_ITEMS + 2)}))
    assert len(found) == MOST_ITEMS + 1
    assert found["…"] == "2 more"


def test_bytes_are_shown_by_their_beginning() -> None:
    assert shown(b"\x00\xff") == '"<2 bytes: 00 ff>"'
    assert shown(bytes(100)) == f'"<100 bytes: {" ".join(["00"] * 24)}…>"'


@settings(max_examples=20)  # large ones cost most of the time
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_everything_is_printable_and_bounded(value: object) -> None:
    text = shown(value)
    assert len(text) <= MOST_SHOWN + 40
    assert all(char.isprintable() or char == "\n" for char in text)
