"""The jobs of a flow as a tree of lines, folded so that it stays short however many jobs there are.

A job stands below the last one that all ways to it lead through. One that is alone there stands at the same depth, so a
chain is a list. Jobs after several others stand beside those, as all of them come after the same fork.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.flows.tree import FlowNode, FlowTree
from taskscheduler_daemon.presentation.flow import rank

Counts = Counter[Status]


class Signs(NamedTuple):
    """The lines of a tree."""

    fork: str
    last: str
    down: str
    none: str


FANCY, PLAIN = Signs("├─ ", "└─ ", "│  ", "   "), Signs("|- ", "`- ", "|  ", "   ")


class Limits(NamedTuple):
    """How much of a flow is shown."""

    width: int  #: jobs beside each other
    steps: int  #: jobs, or sets of them, one after the other
    depth: int
    rows: int


FOLDED = Limits(3, 12, 8, 200)

EVERYTHING = Limits(10**9, 10**9, 200, 10**9)


class Row(NamedTuple):
    """A line: a job, or how many jobs are folded there."""

    prefix: str
    node: FlowNode | None
    folded: Counts


@dataclass(slots=True)
class _Place:
    """Where a job stands in the tree."""

    parent: FlowNode | None = None
    depth: int = 0
    children: list[FlowNode] = field(default_factory=list)
    counts: Counts = field(default_factory=Counter)  #: of the job and all below it
    rank: int = 0  #: of the most interesting one of those


class Outline:
    """Makes the lines of one flow."""

    def __init__(self, tree: FlowTree, limits: Limits = FOLDED, signs: Signs = FANCY) -> None:
        self._limits, self._signs = limits, signs
        self._total = Counter(node.status for node in tree.nodes)
        self._places = _places(tree)
        self._top = [node for node in tree.nodes if self._places[node].parent is None]

    def rows(self) -> list[Row]:
        """Returns the lines; if they are too many, the last one says what is missing."""
        found, missing = list[Row](), Counter(self._total)
        for row in self._beside(self._top, "", 0):
            if len(found) == self._limits.rows:
                return [*found, Row("", None, missing)]
            missing -= row.folded if row.node is None else Counter([row.node.status])
            found.append(row)
        return found

    def _beside(self, nodes: Sequence[FlowNode], prefix: str, depth: int) -> Iterator[Row]:
        """Yields the lines of jobs that have a place in the tree in common."""
        items = list(self._folded(nodes))
        for number, item in enumerate(items):
            is_last = number == len(items) - 1
            sign, below = ("", "") if not depth else (self._signs.fork, self._signs.down)
            if depth and is_last:
                sign, below = self._signs.last, self._signs.none
            if isinstance(item, FlowNode):
                yield from self._down(item, prefix + sign, prefix + below, depth)
            else:
                yield Row(prefix + sign, None, item)

    def _folded(self, nodes: Sequence[FlowNode]) -> Iterator[FlowNode | Counts]:
        steps = [list(group) for _, group in groupby(nodes, key=lambda node: (node.layer, str(node.join)))]
        ranks = [min(self._places[node].rank for node in step) for step in steps]
        shown = _chosen(ranks, self._limits.steps)
        for is_shown, group in groupby(range(len(steps)), key=lambda number: number in shown):
            if is_shown:
                for number in group:
                    yield from self._few(steps[number])
            else:
                yield self._counts_of([node for number in group for node in steps[number]])

    def _few(self, nodes: Sequence[FlowNode]) -> Iterator[FlowNode | Counts]:
        """Yields the most interesting ones of jobs beside each other."""
        most = self._limits.width if len(nodes) > self._limits.width + 1 else len(nodes)
        by_rank = sorted(range(len(nodes)), key=lambda number: self._places[nodes[number]].rank)
        shown = set(by_rank[:most])
        yield from (node for number, node in enumerate(nodes) if number in shown)
        if len(shown) < len(nodes):
            yield self._counts_of([node for number, node in enumerate(nodes) if number not in shown])

    def _counts_of(self, nodes: Sequence[FlowNode]) -> Counts:
        total = Counts()
        for node in nodes:
            total.update(self._places[node].counts)
        return total

    def _down(self, node: FlowNode, prefix: str, below: str, depth: int) -> Iterator[Row]:
        """Yields a job, those that come one after another behind it, and what forks there."""
        chain = [node]
        while len(children := self._places[chain[-1]].children) == 1:
            chain.append(children[0])
        shown = _chosen([rank(one.status) for one in chain], self._limits.steps)
        for is_shown, group in groupby(range(len(chain)), key=lambda number: number in shown):
            numbers = list(group)
            if is_shown:
                yield from (Row(below if number else prefix, chain[number], Counts()) for number in numbers)
            else:
                yield Row(below, None, Counter(chain[number].status for number in numbers))
        if children and depth < self._limits.depth:
            yield from self._beside(children, below, depth + 1)
        elif children:
            yield Row(below + self._signs.last, None, self._counts_of(children))


def _chosen(ranks: Sequence[int], most: int) -> set[int]:
    """Returns which steps are shown: the first and last ones, and the most interesting between them."""
    if len(ranks) <= most + 1:
        return set(range(len(ranks)))
    edge = max(1, most // 4)
    inner = sorted(range(edge, len(ranks) - edge), key=lambda number: ranks[number])
    return {*range(edge), *range(len(ranks) - edge, len(ranks)), *inner[: most - 2 * edge]}


def _places(tree: FlowTree) -> dict[FlowNode, _Place]:
    """Returns the place of each job: below the last one through which all ways to it lead."""
    places, parents = {node: _Place() for node in tree.nodes}, dict[Any, FlowNode | None]()
    for node in tree.nodes:  # those before a job come first, but in a circle, which somebody has stored
        if node.join not in parents:
            parents[node.join] = _common(places, [one for one in node.before if one.layer < node.layer])
        place, parent = places[node], parents[node.join]
        if parent is not None:
            place.parent, place.depth = parent, places[parent].depth + 1
            places[parent].children.append(node)
    _sum_up(tree, places)
    return places


def _common(places: dict[FlowNode, _Place], nodes: Sequence[FlowNode]) -> FlowNode | None:
    """Returns the last job that stands above all of these; None if there is none."""
    if not nodes:
        return None
    found: FlowNode | None = nodes[0]
    below = set[FlowNode]()  # all that were passed on the way up, so that none is passed twice
    for node in nodes[1:]:
        one: FlowNode | None = node
        while found is not None and one is not None and one is not found and one not in below:
            if places[found].depth >= places[one].depth:
                below.add(found)
                found = places[found].parent
            else:
                below.add(one)
                one = places[one].parent
    return found


def _sum_up(tree: FlowTree, places: dict[FlowNode, _Place]) -> None:
    for node in reversed(tree.nodes):
        place = places[node]
        place.counts[node.status] += 1
        place.rank = min(map(rank, place.counts))
        if place.parent is not None:
            places[place.parent].counts.update(place.counts)
