"""Where results stand in data, and data with the results in their places."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.model.flows.inputs import Input, Pending, emptied, filled, places_of, read_inputs

A, B = ObjectId(), ObjectId()


def test_placeholders_are_found_however_deep_they_stand() -> None:
    one, two, three = Pending(), Pending(), Pending()
    data = {"a": one, "b": [1, {"c": two}], "d": (three, "x")}
    assert {place: path for path, place in places_of(data)} == {
        one: ("a",),
        two: ("b", 1, "c"),
        three: ("d", 0),
    }
    assert emptied(data) == {"a": None, "b": [1, {"c": None}], "d": [None, "x"]}


def test_a_result_may_be_all_data() -> None:
    placeholder = Pending()
    assert list(places_of(placeholder)) == [((), placeholder)]
    assert filled(emptied(placeholder), [Input((), A)], {A: {"x": 1}}, skips=False) == {"x": 1}


def test_results_are_put_in_their_places() -> None:
    inputs = [Input(("a",), A), Input(("b", 1, "c"), B)]
    data = filled({"a": None, "b": [1, {"c": None}]}, inputs, {A: [1], B: "x"}, skips=False)
    assert data == {"a": [1], "b": [1, {"c": "x"}]}


LISTED = [Input(("parts", 0), A), Input(("parts", 1), B), Input(("only",), B)]


def test_the_result_of_a_failed_job_is_none() -> None:
    data = filled({"parts": [None, None], "only": None}, LISTED, {A: 1}, skips=False)
    assert data == {"parts": [1, None], "only": None}


def test_the_result_of_a_failed_job_that_is_skipped_is_left_out_of_a_list() -> None:
    data = filled({"parts": [None, None], "only": None}, LISTED, {A: 1}, skips=True)
    assert data == {"parts": [1], "only": None}


def test_a_result_that_is_none_is_not_left_out() -> None:
    assert filled({"parts": [None, None]}, LISTED[:2], {A: None}, skips=True) == {"parts": [None]}


@pytest.mark.parametrize("data", [None, 3, "text", [], {"parts": "text"}, {"parts": [1]}, {"parts": {"0": 1}}])
def test_data_that_somebody_has_changed_are_left_as_they_are(data: Any) -> None:
    assert filled(data, [Input(("parts", 5, "x"), A)], {A: 1}, skips=False) == data


def test_what_is_stored_is_read_back() -> None:
    inputs = [Input(("a", 1), A), Input((), B)]
    assert read_inputs([one.stored() for one in inputs]) == inputs


@pytest.mark.parametrize(
    "odd", [None, "x", [1], [{"path": "a", "job": A}], [{"path": [True], "job": A}], [{"path": []}]], ids=range(6)
)
def test_odd_inputs_are_none(odd: Any) -> None:
    assert read_inputs(odd) is None
