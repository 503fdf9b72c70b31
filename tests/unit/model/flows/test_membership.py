"""What a job of a flow carries."""

from __future__ import annotations

import pytest
from bson import ObjectId

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.flows.membership import comes_after, join_key, join_of, membership_of, waits_for_join

FLOW, A, B = ObjectId(), ObjectId(), ObjectId()


def test_a_job_of_no_flow_is_no_member() -> None:
    assert membership_of({"_id": A}) is None
    assert membership_of({"_id": A, "flow": "text"}) is None


def test_the_join_of_the_flow_and_soft_ones_do_not_mind_how_a_job_ends() -> None:
    member = membership_of({"flow": FLOW, "joins": [FLOW, A, B], "soft": [B]})
    assert member is not None
    assert member.hard == [A]
    assert member.lenient == [FLOW, B]


def test_odd_fields_are_passed_over() -> None:
    member = membership_of({"flow": FLOW, "joins": [A, 3], "soft": "x", "feeds": 1})
    assert member == (FLOW, (A,), frozenset(), False, 2)


def test_the_list_of_a_join_names_it() -> None:
    assert join_of(join_key(A)) == A


@pytest.mark.parametrize("text", [None, 3, "flow:", "flow:x", f"limit:{'a' * 24}", ""])
def test_other_lists_are_of_no_join(text: object) -> None:
    assert join_of(text) is None


def test_a_job_waits_for_a_join_while_it_is_parked_in_its_list() -> None:
    assert waits_for_join({"parked_at": FAR, "blocked": join_key(A)})
    assert not waits_for_join({"blocked": join_key(A)})
    assert not waits_for_join({"parked_at": FAR, "blocked": "limit:x"})


def test_only_a_job_that_has_not_begun_waits_again_when_it_is_put_back() -> None:
    assert comes_after({"after": A, "attempt": 0}) == A
    assert comes_after({"after": A, "attempt": 1}) is None
    assert comes_after({"attempt": 0}) is None
