"""Ratios of what was measured, goals beside them, and what programs get."""

from __future__ import annotations

import pytest
from tests.benchmarks.figures import Figures
from tests.benchmarks.goals import GOALS, RATIOS, at_least, at_most
from tests.support.tables import table

DRAIN = "drain, completed / the same at REV"
START = "add -> start / bare insert at that pace"


def figures(**values: float) -> Figures:
    """Figures of one repetition; `__` stands for the dot in their names."""
    found = Figures()
    for name, value in values.items():
        found.note(name.replace("__", "."), value)
    return found


def line(found: Figures, text: str) -> str:
    """The only line of the table that begins with this text."""
    (only,) = [one.strip() for one in found.table() if one.strip().startswith(text)]
    return only


@table(
    ("goal", "value", "met"),
    [(at_least(2), 2.0, True), (at_least(2), 1.99, False), (at_most(2), 2.0, True), (at_most(2), 2.01, False)],
)
def test_a_goal_is_met_from_its_value_on(goal: object, value: float, met: bool) -> None:
    assert goal.is_met(value) is met  # type: ignore[attr-defined]


def test_a_ratio_needs_both_sides() -> None:
    assert figures(product__drain_completed=10).ratios() == {}
    assert figures(before__drain_completed=10).ratios() == {}
    assert figures(product__drain_completed=27, before__drain_completed=20).ratios() == {DRAIN: pytest.approx(1.35)}


def test_a_ratio_is_of_medians() -> None:
    found = figures(product__start_p50=2, floor__paced_insert_p50=1)
    for value in (9, 3):
        found.note("product.start_p50", value)
    assert found.ratios() == {START: 3.0}


def test_the_table_says_whether_a_ratio_meets_its_goal() -> None:
    met = figures(product__drain_completed=27, before__drain_completed=20)
    missed = figures(product__drain_completed=26, before__drain_completed=20)
    assert line(met, DRAIN).endswith("1.35  >= 1.35 met")
    assert line(missed, DRAIN).endswith("1.30  >= 1.35 MISSED")


def test_a_ratio_without_a_goal_says_none() -> None:
    found = figures(product__add_1=9, floor__insert_1=10)
    assert line(found, "add_job / bare insert, 1 thread").endswith("0.90")


def test_a_figure_keeps_its_own_goal() -> None:
    found = figures(product__urgent_p99=51)
    assert line(found, "product.urgent_p99").endswith("<= 50 MISSED")


def test_the_fastest_peer_has_the_goal() -> None:
    found = figures(product__drain_executed=22, peer__rq__drain=1, peer__huey__drain=10, peer__celery__drain=4)
    assert line(found, "drain, executed / fastest peer (huey)").endswith("2.20  >= 2.2 met")
    assert line(found, "drain, executed / huey").endswith("2.20")
    assert line(found, "drain, executed / rq").endswith("22.00")


def test_programs_get_the_goals_of_figures_and_ratios() -> None:
    found = figures(product__start_p50=3, floor__paced_insert_p50=1).as_json()
    assert found["goals"] == {
        "product.start_p50": {"goal": "<= 4", "met": True},
        START: {"goal": "<= 2.2", "met": False},
    }
    assert found["ratios"] == {START: 3.0}


def test_names_and_texts_are_used_once() -> None:
    assert len({ratio.text for ratio in RATIOS}) == len(RATIOS)
    assert len({(ratio.one, ratio.two) for ratio in RATIOS}) == len(RATIOS)
    measured = {name for ratio in RATIOS for name in (ratio.one, ratio.two)}
    judged_alone = {name for name in GOALS if name.startswith(("product.idle", "product.schedule", "product.urgent"))}
    assert GOALS.keys() <= measured | judged_alone
