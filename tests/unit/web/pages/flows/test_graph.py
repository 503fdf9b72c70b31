"""The graph of a flow: where boxes stand, which lines there are, and that it stays small."""

from __future__ import annotations

from itertools import pairwise

from tests.support.flowing import tree_of

from taskscheduler import Status
from taskscheduler.operations.flows.tree import FlowTree
from taskscheduler_daemon.web.pages.flows.graph import COLUMNS, FEW, ROWS, Box, Graph, draw
from taskscheduler_daemon.web.pages.flows.views import fitting


def name(box: Box) -> str:
    if box.node is not None:
        return box.node.label
    return f"{box.counts.total()} more" if box.step is None else f"{box.counts.total()} from {box.step}"


def columns(graph: Graph) -> list[list[str]]:
    return [[name(box) for box in column.boxes] for column in graph.columns]


def lines(graph: Graph) -> set[tuple[str, str]]:
    return {(name(one), name(other)) for one, other in graph.lines}


def layers(width: int, depth: int, **statuses: Status) -> FlowTree:
    """Full layers: each job comes after all of the layer before."""
    rows = [[f"n{step}-{n}" for n in range(width)] for step in range(depth)]
    after = dict.fromkeys(rows[0], ())
    return tree_of({**after, **{one: before for before, row in pairwise(rows) for one in row}}, **statuses)


def test_jobs_stand_in_columns_from_left_to_right() -> None:
    graph = draw(tree_of({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}))
    assert columns(graph) == [["a"], ["b", "c"], ["d"]]
    assert lines(graph) == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}
    assert graph.joints == []
    assert [column.title for column in graph.columns] == ["Step 1", "Step 2", "Step 3"]
    x = [column.boxes[0].x for column in graph.columns]
    assert x == sorted(set(x))
    assert all(box.y >= 0 and box.y + box.height <= graph.height for box in graph.boxes)
    assert all(one.y + one.height <= two.y for column in graph.columns for one, two in pairwise(column.boxes))


def test_an_empty_flow_and_a_single_job_have_a_graph() -> None:
    assert columns(draw(tree_of({}))) == []
    assert columns(draw(tree_of({"a": []}))) == [["a"]]


def test_lines_of_jobs_that_join_meet_once() -> None:
    graph = draw(layers(5, 3))
    assert graph.lines == []
    assert [(len(joint.sources), len(joint.targets)) for joint in graph.joints] == [(5, 5), (5, 5)]
    assert graph.paths.count("M") == 20, "not 50"


def test_a_wide_column_shows_what_matters_and_folds_the_rest() -> None:
    parts = {f"p{n}": ["top"] for n in range(100)}
    tree = tree_of({"top": [], **parts, "end": list(parts)}, p50=Status.FAILED, p60=Status.PROCESSING)
    graph = draw(tree)
    assert columns(graph)[1] == ["p0", "p1", "p50", "p60", "96 more"]
    assert lines(graph) >= {("top", "p50"), ("top", "96 more"), ("96 more", "end")}
    just = tree_of({f"p{n}": [] for n in range(ROWS)})
    assert len(columns(draw(just))[0]) == ROWS, "nothing is folded"
    assert len(columns(draw(layers(ROWS + 1, 1)))[0]) == FEW + 1


def test_a_folded_box_has_a_line_for_each_status() -> None:
    tree = layers(20, 1, **{"n0-5": Status.TIMEOUT}, **{f"n0-{n}": Status.FAILED for n in range(6, 12)})
    box = draw(tree).columns[0].boxes[-1]
    assert set(box.counts) == {Status.FAILED, Status.TIMEOUT, Status.DONE}
    assert box.height > draw(tree).columns[0].boxes[0].height


def test_of_many_steps_a_window_is_shown_that_begins_where_something_goes_on() -> None:
    tree = layers(1, 100, **{"n40-0": Status.PROCESSING}, **{f"n{n}-0": Status.POSTPONED for n in range(41, 100)})
    graph = draw(tree)
    assert columns(graph)[:3] == [["39 from 32"], ["n39-0"], ["n40-0"]]
    assert columns(graph)[-1] == ["53 from 48"]
    assert len(graph.columns) == COLUMNS + 2
    assert lines(graph) >= {("39 from 32", "n39-0"), ("n46-0", "53 from 48")}
    failed = draw(layers(1, 100, **{"n70-0": Status.FAILED, "n40-0": Status.PROCESSING}))
    assert columns(failed)[1:3] == [["n69-0"], ["n70-0"]]


def test_a_step_is_chosen_and_one_that_does_not_exist_is_no_error() -> None:
    tree = layers(1, 100)
    assert columns(draw(tree, 10))[:2] == [["9 from 2"], ["n9-0"]]
    assert columns(draw(tree, 1))[0] == ["n0-0"]
    assert columns(draw(tree, 5000))[-1] == ["n99-0"]
    assert columns(draw(tree_of({"a": []}), 7)) == [["a"]]


def test_lines_that_leave_the_window_go_to_the_folded_steps() -> None:
    chain = [f"c{n}" for n in range(50)]
    after = {label: chain[max(0, n - 1) : n] for n, label in enumerate(chain)}
    graph = draw(tree_of({**after, "end": ["c0", "c30", "c49"]}), 25)
    assert ("c30", "20 from 33") in lines(graph) or ("c30", "19 from 33") in lines(graph)
    assert not any(one == other for one, other in graph.lines)
    assert not any(one.step and other.step for one, other in graph.lines), "nothing is said by such a line"


def test_chains_go_straight_on() -> None:
    chains = {f"a{n}-{k}": ([f"a{n}-{k - 1}"] if k else []) for n in range(6) for k in range(4)}
    for column in draw(tree_of(chains)).columns:
        assert [name(box).partition("-")[0] for box in column.boxes] == [f"a{n}" for n in range(6)]


def test_lines_do_not_cross_without_need() -> None:
    graph = draw(tree_of({"a": [], "b": [], "of-b": ["b"], "of-a": ["a"]}))
    assert columns(graph) == [["a", "b"], ["of-a", "of-b"]]


def test_ten_thousand_jobs_have_a_small_graph() -> None:
    graph = draw(layers(100, 100))
    assert len(graph.boxes) <= COLUMNS * (FEW + 1) + 2
    assert len(graph.paths) < 10_000


def test_a_stored_circle_is_drawn_as_it_is() -> None:
    assert columns(draw(tree_of({"a": ["b"], "b": ["a"]}))) == [["a", "b"]]


def test_a_label_is_cut_where_its_box_ends() -> None:
    assert fitting("Pack 36") == "Pack 36"
    assert fitting("W" * 200) == "W" * 8 + "…"
    assert len(fitting("i" * 200)) > len(fitting("a" * 200)) > len(fitting("漢" * 200))
    assert fitting("e" + "\u0301" * 50 + "nd") == "e" + "\u0301" * 50 + "nd"
