"""The tree of a flow in a terminal: where jobs stand, and that it stays short."""

from __future__ import annotations

import time

from tests.support.flowing import tree_of

from taskscheduler import Status
from taskscheduler.operations.flows.tree import FlowTree
from taskscheduler_daemon.presentation.flow import folded
from taskscheduler_daemon.presentation.flow_outline import EVERYTHING, PLAIN, Outline


def lines(tree: FlowTree, everything: bool = False) -> list[str]:
    """The rows with their labels, or what is folded there."""
    outline = Outline(tree, EVERYTHING, PLAIN) if everything else Outline(tree, signs=PLAIN)
    return [
        row.prefix + (f"... {folded(row.folded)}" if row.node is None else row.node.label) for row in outline.rows()
    ]


def wide(count: int, **statuses: Status) -> FlowTree:
    parts = [f"p{n}" for n in range(count)]
    return tree_of({"top": [], **{part: ["top"] for part in parts}, "end": parts}, **statuses)


def test_a_fork_has_branches_and_what_joins_them_stands_beside() -> None:
    tree = tree_of({"a": [], "b": ["a"], "b2": ["b"], "c": ["a"], "d": ["b2", "c"], "e": ["d"]})
    assert lines(tree) == ["a", "|- b", "|  b2", "|- c", "`- d", "   e"]


def test_a_chain_is_a_list_and_roots_stand_beside_each_other() -> None:
    assert lines(tree_of({"a": [], "b": ["a"], "c": ["b"]})) == ["a", "b", "c"]
    assert lines(tree_of({"a": [], "b": [], "c": ["a", "b"]})) == ["a", "b", "c"]
    assert lines(tree_of({})) == []


def test_of_many_jobs_beside_each_other_those_that_matter_are_shown() -> None:
    tree = wide(100, p7=Status.FAILED, p90=Status.PROCESSING)
    assert lines(tree) == ["top", "|- p0", "|- p7", "|- p90", "|- ... 97 more done", "`- end"]
    assert lines(wide(4))[1:5] == ["|- p0", "|- p1", "|- p2", "|- p3"], "one alone is not folded"
    several = wide(9, p1=Status.WAITING, p2=Status.WAITING, p3=Status.WAITING, p4=Status.WAITING)
    assert lines(several)[4] == "|- ... 6 more: 1 waiting, 5 done"


def test_a_branch_is_shown_if_something_in_it_has_failed() -> None:
    after = {"top": list[str]()}
    for n in range(9):
        after |= {f"b{n}": ["top"], f"c{n}": [f"b{n}"]}
    assert "|- b8" in lines(tree_of({**after, "end": ["c1", "c8"]}, c8=Status.FAILED))


def test_a_long_chain_is_folded_in_the_middle() -> None:
    labels = [f"s{n}" for n in range(100)]
    after = {label: labels[max(0, n - 1) : n] for n, label in enumerate(labels)}
    shown = lines(tree_of(after, s50=Status.PROCESSING))
    assert len(shown) < 20
    assert (shown[0], shown[-1]) == ("s0", "s99")
    assert "s50" in shown
    assert sum("more done" in line for line in shown) == 2


def test_everything_is_shown_if_asked_for() -> None:
    assert len(lines(wide(500), everything=True)) == 502
    assert not any("more" in line for line in lines(wide(500), everything=True))


def test_many_forks_are_cut_and_the_last_line_says_what_is_missing() -> None:
    after: dict[str, list[str]] = {}
    for n in range(30):
        after[f"r{n}"] = []
        for m in range(4):
            after[f"r{n}-{m}"] = [f"r{n}"]
            after |= {f"r{n}-{m}-{k}": [f"r{n}-{m}"] for k in range(4)}
    tree = tree_of(after, **{f"r{n}": Status.FAILED for n in range(30)})
    assert len(lines(tree)) < 100
    outline = Outline(tree, EVERYTHING._replace(rows=50))
    rows = outline.rows()
    assert (len(rows), rows[-1].node) == (51, None)
    assert rows[-1].folded.total() == len(tree.nodes) - 50


def test_a_deep_tree_is_folded_at_some_depth() -> None:
    after: dict[str, list[str]] = {"s0": []}
    for n in range(1, 400):
        after |= {f"s{n}": [f"s{n - 1}"], f"leaf{n}": [f"s{n - 1}"]}
    shown = lines(tree_of(after))
    assert len(shown) < 40
    assert sum("... " in line for line in shown) == 1


def test_a_stored_circle_does_not_go_on_for_ever() -> None:
    assert sorted(lines(tree_of({"a": ["b"], "b": ["a"], "c": []}))) == ["a", "b", "c"]


def test_ten_thousand_jobs_are_folded_quickly() -> None:
    chain = [f"s{n}" for n in range(5000)]
    after = {label: chain[max(0, n - 1) : n] for n, label in enumerate(chain)}
    after |= {f"p{n}": ["s0"] for n in range(5000)}
    tree = tree_of({**after, "end": [*chain, *(f"p{n}" for n in range(5000))]})
    began = time.process_time()
    assert len(lines(tree)) < 30
    assert time.process_time() - began < 5, "no way up is passed twice"
