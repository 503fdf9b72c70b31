"""Sums are kept as long as the totals stay, the last ones that were asked for."""

from __future__ import annotations

from taskscheduler.model.metrics.counts import Series
from taskscheduler.model.metrics.sums import StoredSum
from taskscheduler.store.metrics.kept_sums import _MOST_KEPT, KeptSums


def sums(job: str) -> dict[Series, StoredSum]:
    return {Series(job, "default"): StoredSum()}


def test_sums_of_other_totals_are_none() -> None:
    kept, mail = KeptSums(), sums("Mail")
    assert kept.get("today", b"1") is None
    kept.put("today", b"1", mail)
    assert kept.get("today", b"1") is mail
    assert kept.get("today", b"2") is None
    assert kept.get("yesterday", b"1") is None


def test_what_was_not_asked_for_the_longest_is_forgotten() -> None:
    kept = KeptSums()
    for number in range(_MOST_KEPT):
        kept.put(number, b"", sums(str(number)))
    assert kept.get(0, b"") is not None
    kept.put(_MOST_KEPT, b"", sums("more"))
    assert kept.get(1, b"") is None
    assert all(kept.get(number, b"") is not None for number in range(_MOST_KEPT + 1) if number != 1)
