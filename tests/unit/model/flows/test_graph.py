"""Which jobs form a join, in which order jobs can run, and what a circle looks like."""

from __future__ import annotations

import itertools

from bson import ObjectId

from taskscheduler.model.flows.graph import Edge, circle_in, graph_of, in_order, layers_of

A, B, C, D = (ObjectId() for _ in range(4))

NOTHING = Edge(frozenset())


def after(*ids: ObjectId, soft: bool = False) -> Edge:
    return Edge(frozenset(ids), soft)


def test_jobs_that_come_after_the_same_ones_share_a_join() -> None:
    graph = graph_of({A: NOTHING, B: NOTHING, C: after(A, B), D: after(B, A)})
    (join,) = graph.joins.values()
    assert join.members == {A, B}
    assert graph.after == {C: join.id, D: join.id}
    assert graph.member_of == {A: [join.id], B: [join.id]}


def test_jobs_that_mind_a_failure_differently_do_not_share_one() -> None:
    graph = graph_of({A: NOTHING, B: NOTHING, C: after(A, B), D: after(A, B, soft=True)})
    assert [join.is_soft for join in graph.joins.values()] == [False, True]
    assert len(graph.member_of[A]) == 2


def test_a_strict_join_of_one_job_has_its_id_and_any_other_a_new_one() -> None:
    graph = graph_of({A: NOTHING, B: after(A), C: after(A, soft=True), D: after(A, B)})
    assert graph.after[B] == A
    assert len({A, B, C, D} & {graph.after[C], graph.after[D]}) == 0


def test_layers_that_are_fully_connected_are_as_many_joins_as_layers() -> None:
    layers = [[ObjectId() for _ in range(10)] for _ in range(10)]
    before: list[ObjectId] = []
    edges: dict[ObjectId, Edge] = {}
    for layer in layers:
        edges |= {job_id: after(*before) for job_id in layer}
        before = layer
    graph = graph_of(edges)
    assert len(graph.joins) == 9
    assert sum(map(len, graph.member_of.values())) == 90


def test_each_job_stands_behind_those_that_it_comes_after() -> None:
    edges = {D: after(B, C), C: after(A), B: after(A), A: NOTHING}
    order = in_order(list(edges), graph_of(edges))
    assert order[0] == A
    assert order[-1] == D
    assert set(order) == {A, B, C, D}


def test_jobs_that_were_there_before_are_waited_for_by_nobody() -> None:
    edges = {B: after(A), C: after(A, B)}
    assert in_order(list(edges), graph_of(edges)) == [B, C]


def test_a_circle_is_named_from_the_first_to_the_first() -> None:
    edges = {A: NOTHING, B: after(A, D), C: after(B), D: after(C)}
    order = in_order(list(edges), graph_of(edges))
    assert order == [A]
    circle = circle_in(edges, order)
    assert circle[0] == circle[-1]
    assert set(circle) == {B, C, D}
    for earlier, later in itertools.pairwise(circle):
        assert earlier in edges[later].after


def test_a_job_may_be_a_circle_of_its_own() -> None:
    edges = {A: after(A)}
    assert circle_in(edges, in_order([A], graph_of(edges))) == [A, A]


def test_a_job_is_one_layer_behind_the_deepest_that_it_comes_after() -> None:
    of_a, of_both, gone = 0, 1, 2
    assert layers_of([None, of_a, of_both, gone], [[of_a, of_both], [of_both], [], []]) == [0, 1, 2, 0]


def test_layers_of_a_stored_circle_do_not_go_on_for_ever() -> None:
    assert layers_of([1, 0, None], [[0], [1], []]) == [0, 0, 0]
    assert layers_of([], []) == []


def test_a_long_chain_and_full_layers_are_layered_in_one_pass() -> None:
    chain = range(10_000)
    assert layers_of([None, *chain[:-1]], [[job] for job in chain]) == list(chain)
    full = [job // 100 for job in range(10_000)]
    assert layers_of([layer - 1 if layer else None for layer in full], [[layer] for layer in full]) == full
