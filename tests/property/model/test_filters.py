"""Whatever is given as a filter, it is read or refused; and what is printed reads as the same filter."""

from __future__ import annotations

from datetime import UTC, datetime

import bson
from hypothesis import given
from hypothesis import strategies as st

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.filters.expression import Filter, Term
from taskscheduler.model.filters.keys import ALIASES, KEYS
from taskscheduler.model.filters.values import Value

NOW = datetime(2026, 11, 29, tzinfo=UTC)

_PIECES = [*KEYS, *ALIASES, "data", "data.a.b", ":", ",", '"', "\\", "*", ">", "<=", " ", "\t", "-2h", "now", "failed"]
_PIECES += ["2026-11-21", "6a5f01c2e26cf26c6d0ede69", "1e5", "-7", "true", "x", "é", "$", "."]

texts = st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map("".join))


@given(texts)
def test_any_text_is_a_filter_or_refused_in_words(text: str) -> None:
    refusal, chosen = "", Filter()
    try:
        chosen = Filter.parse(text)
    except InvalidOptionError as error:
        refusal = str(error)
    assert len(refusal) < 1000
    assert Filter.parse(str(chosen)) == chosen
    assert bson.encode(chosen.query(NOW))


@given(st.lists(st.tuples(st.sampled_from(["class", "queue", "tag", "data.to"]), st.text(min_size=1))))
def test_any_value_may_stand_in_quotes(pairs: list[tuple[str, str]]) -> None:
    chosen = Filter(tuple(Term(key, "", (Value(text, quoted=True),)) for key, text in pairs))
    try:
        read = Filter.parse(str(chosen))
    except InvalidOptionError:
        assert any("\0" in text or any("\ud800" <= char <= "\udfff" for char in text) for _, text in pairs)
        return
    assert read == chosen
    assert [term.values[0].text for term in read.terms] == [text for _, text in pairs]
