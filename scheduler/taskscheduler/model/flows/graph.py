"""The shape of a flow: which jobs form a join, which nobody comes after, and whether one comes after itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bson import ObjectId


class Edge(NamedTuple):
    """What a job comes after, and whether it minds how those jobs end."""

    after: frozenset[ObjectId]
    is_soft: bool = False  #: whether a failure among them lets it run all the same


@dataclass(slots=True)
class Join:
    """A set of jobs that others come after."""

    id: ObjectId
    members: frozenset[ObjectId]
    is_soft: bool


@dataclass(slots=True)
class Graph:
    """The joins of a flow, and those that each job belongs to."""

    joins: dict[ObjectId, Join] = field(default_factory=dict)  #: by their ids
    after: dict[ObjectId, ObjectId] = field(default_factory=dict)  #: the join that a job comes after
    member_of: dict[ObjectId, list[ObjectId]] = field(default_factory=dict)  #: the joins of a job


def graph_of(edges: Mapping[ObjectId, Edge]) -> Graph:
    """Returns the joins of jobs that come after each other. Jobs after the same ones, and as strict, share a join."""
    graph, known = Graph(), dict[Edge, Join]()
    for job_id, edge in edges.items():
        if not edge.after:
            continue
        join = known.get(edge)
        if join is None:
            join = known[edge] = Join(_id_of(edge), edge.after, edge.is_soft)
            graph.joins[join.id] = join
            for member in edge.after:
                graph.member_of.setdefault(member, []).append(join.id)
        graph.after[job_id] = join.id
    return graph


def _id_of(edge: Edge) -> ObjectId:
    """Returns the id of a join: that of its job if it is strict and there is only one, so that its end says enough."""
    return ObjectId() if edge.is_soft or len(edge.after) > 1 else next(iter(edge.after))


def in_order(ids: Collection[ObjectId], graph: Graph) -> list[ObjectId]:
    """Returns jobs so that each comes after those that it comes after; of a circle, no job and none behind it.

    Members of joins that are not among the jobs were there before.
    """
    known = set(ids)
    left = {join.id: len(join.members & known) for join in graph.joins.values()}
    behind: dict[ObjectId, list[ObjectId]] = {}
    for job_id, join_id in graph.after.items():
        behind.setdefault(join_id, []).append(job_id)
    order = [job_id for job_id in ids if job_id not in graph.after or not left[graph.after[job_id]]]
    for job_id in order:  # which grows
        for join_id in graph.member_of.get(job_id, ()):
            left[join_id] -= 1
            if not left[join_id]:
                order += behind[join_id]
    return order


def circle_in(edges: Mapping[ObjectId, Edge], order: Sequence[ObjectId]) -> list[ObjectId]:
    """Returns jobs that come after each other in a circle, beginning and ending with the same; `order`: all others."""
    left = dict.fromkeys(job_id for job_id in edges if job_id not in set(order))
    path: dict[ObjectId, int] = {}
    job_id = next(iter(left), None)
    while job_id is not None and job_id not in path:
        path[job_id] = len(path)
        job_id = next((one for one in sorted(edges[job_id].after) if one in left), None)
    return [] if job_id is None else [*list(path)[path[job_id] :], job_id][::-1]


def layers_of(after: Sequence[int | None], joins: Sequence[Sequence[int]]) -> list[int]:
    """Returns how many jobs at most come one after another before each job.

    `after` is the number of the join that each job comes after, and `joins` are those that it is a member of. The time
    it takes grows with these, not with the pairs of jobs.
    """
    count = 1 + max((join for listed in (*joins, [one or 0 for one in after]) for join in listed), default=0)
    left, depth, behind = [0] * count, [0] * count, [list[int]() for _ in range(count)]
    for listed in joins:
        for join in listed:
            left[join] += 1
    for job, own in enumerate(after):
        if own is not None:
            behind[own].append(job)
    layers = [0] * len(after)  # also of those in a circle, which somebody has stored
    order = [job for job, own in enumerate(after) if own is None or not left[own]]
    for job in order:  # which grows
        for join in joins[job]:
            depth[join] = max(depth[join], layers[job] + 1)
            left[join] -= 1
            if not left[join]:
                order += behind[join]
                for other in behind[join]:
                    layers[other] = depth[join]
    return layers
