"""Which names a limit counts, whatever other limits are set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskscheduler.model.control.keys import key, place
from taskscheduler.model.control.limits import Limit, limit_for, spans_of

LIMITS = ["*", "a", "ab*", "abc", "tenant:*", "tenant:", "tenant:7", "tenant:7*", "tenant:70", "tenant:eu:*"]


@given(
    st.sets(st.sampled_from(LIMITS)),
    st.sampled_from(LIMITS),
    st.one_of(st.sampled_from(LIMITS).map(lambda name: name.rstrip("*") or "x"), st.text("abctenu:780é😀", min_size=1)),
)
def test_the_spans_of_a_limit_hold_the_names_whose_limit_it_is(others: set[str], own: str, name: str) -> None:
    limits = [Limit(one, 1) for one in {*others, own}]
    spans = spans_of(Limit(own, 1), limits)
    expected = limit_for(limits, name) == Limit(own, 1)
    start, waits, holds = key("limit", ""), key("limit", name), place(key("limit", name), 12)
    before = place(start, "")[:-1]
    assert spans == sorted(spans)
    assert sum(start + first <= waits < start + end for first, end in spans) == expected
    assert sum(before + first <= holds < before + end for first, end in spans) == expected
