"""Where the jobs of a flow stand in its graph, and the lines between them: pure, and small however large the flow is.

Jobs that come one after another stand in columns from left to right. A column shows its most important jobs and one box
for the others; of many columns a window is shown, with a box for those before it and one for those behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from taskscheduler.model.lifecycle import DEAD_LETTERS, Status
from taskscheduler.operations.flows.tree import FlowNode, FlowTree
from taskscheduler_daemon.presentation.flow import rank

COLUMNS = 8  #: that are shown together

ROWS = 7  #: boxes of a column

FEW = 4  #: jobs of a column in which others are folded

WIDTH, HEIGHT, LINE = 176, 48, 17  #: of a box, and of a further line in it

ACROSS, DOWN = 56, 12  #: between boxes

EDGE, HEAD = 6, 26  #: around the graph, and above its columns

_MOST_LINES = 600

_FEW_LINES = 4  #: between two sets of boxes that need no joint


@dataclass(slots=True, eq=False)
class Box:
    """A job, or several that are folded."""

    node: FlowNode | None = None
    counts: Counter[Status] = field(default_factory=Counter)  #: of the jobs that are folded
    step: int | None = None  #: of folded columns: where the window begins that shows them
    x: float = 0
    y: float = 0

    @property
    def height(self) -> float:
        """How high it is: a folded one has a line for each status."""
        return HEIGHT if self.node is not None else HEIGHT - LINE + LINE * len(self.counts)

    @property
    def middle(self) -> float:
        """How far down lines begin and end."""
        return self.y + self.height / 2


@dataclass(slots=True)
class Column:
    """Jobs of one step, or all steps on one side of the window."""

    boxes: list[Box]
    title: str = ""

    @property
    def height(self) -> float:
        """How high it is."""
        return sum(box.height + DOWN for box in self.boxes) - DOWN


@dataclass(slots=True)
class Joint:
    """A place where the lines of several jobs meet that others come after."""

    sources: list[Box]
    targets: list[Box]
    x: float = 0
    y: float = 0


@dataclass(slots=True)
class Graph:
    """Boxes and lines, with their places."""

    columns: list[Column]
    lines: list[tuple[Box, Box]]
    joints: list[Joint]
    width: float
    height: float

    @property
    def boxes(self) -> list[Box]:
        """All boxes, from left to right."""
        return [box for column in self.columns for box in column.boxes]

    @property
    def paths(self) -> str:
        """The lines as the data of an SVG path."""
        parts = [_curve(one.x + WIDTH, one.middle, other.x, other.middle) for one, other in self.lines]
        for joint in self.joints:
            parts += [_curve(box.x + WIDTH, box.middle, joint.x, joint.y) for box in joint.sources]
            parts += [_curve(joint.x, joint.y, box.x, box.middle) for box in joint.targets]
        return "".join(parts)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    bend = max(10.0, min(40.0, (to_x - x) / 2))
    return f"M{x:.0f} {y:.0f}C{x + bend:.0f} {y:.0f} {to_x - bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"


def draw(tree: FlowTree, step: int | None = None) -> Graph:
    """Returns the graph of a flow; of many steps those from `step` on, which counts from 1, else where it is now."""
    layers: list[list[FlowNode]] = [[] for _ in range(max((node.layer + 1 for node in tree.nodes), default=0))]
    for node in tree.nodes:
        layers[node.layer].append(node)
    first = _first(tree) if step is None else step - 1
    first = max(0, min(first, len(layers) - COLUMNS))
    layout = _Layout(layers, first)
    return layout.graph()


def _first(tree: FlowTree) -> int:
    """Returns where the window begins: one step before what has failed, else before what has not ended."""
    failed = next((node for node in tree.nodes if node.status in DEAD_LETTERS), None)
    going = failed or next((node for node in tree.nodes if not node.status.is_final), None)
    return 0 if going is None else going.layer - 1


class _Layout:
    def __init__(self, layers: Sequence[Sequence[FlowNode]], first: int) -> None:
        self._layers = layers
        self._first, self._end = first, min(first + COLUMNS, len(layers))
        self._box_of: dict[FlowNode, Box] = {}
        self._rows: dict[Box, int] = {}

    def graph(self) -> Graph:
        columns = self._columns()
        height = max((column.height for column in columns), default=0)
        for number, column in enumerate(columns):
            y = HEAD + EDGE + (height - column.height) / 2
            for box in column.boxes:
                box.x, box.y = EDGE + number * (WIDTH + ACROSS), y
                y += box.height + DOWN
        lines, joints = self._lines()
        _place(joints)
        width = max(len(columns), 1) * (WIDTH + ACROSS) - ACROSS + 2 * EDGE
        return Graph(columns, lines, joints, width, HEAD + height + 2 * EDGE)

    def _columns(self) -> list[Column]:
        columns = []
        if self._first:
            columns.append(self._fold(range(self._first), max(1, self._first - COLUMNS + 1)))
        for number in range(self._first, self._end):
            boxes = self._column(self._layers[number])
            columns.append(Column(boxes, f"Step {number + 1}"))
        if self._end < len(self._layers):
            columns.append(self._fold(range(self._end, len(self._layers)), self._end + 1))
        return columns

    def _fold(self, numbers: range, step: int) -> Column:
        box = Box(step=step)
        for node in (node for number in numbers for node in self._layers[number]):
            box.counts[node.status] += 1
            self._box_of[node] = box
        self._rows[box] = 0
        return Column([box], f"{len(numbers)} more steps" if len(numbers) > 1 else "1 more step")

    def _column(self, nodes: Sequence[FlowNode]) -> list[Box]:
        chosen, rest = list(nodes), list[FlowNode]()
        if len(nodes) > ROWS:
            ranked = sorted(range(len(nodes)), key=lambda number: rank(nodes[number].status))
            few = set(ranked[:FEW])
            chosen = [node for number, node in enumerate(nodes) if number in few]
            rest = [node for number, node in enumerate(nodes) if number not in few]
        behind = {node.join: node for node in chosen}
        places = {join: self._place_behind(node) for join, node in behind.items()}
        chosen.sort(key=lambda node: places[node.join])
        boxes = [Box(node) for node in chosen]
        if rest:
            boxes.append(Box(counts=Counter(node.status for node in rest)))
            self._box_of.update((node, boxes[-1]) for node in rest)
        for row, box in enumerate(boxes):
            self._rows[box] = row
            if box.node is not None:
                self._box_of[box.node] = box
        return boxes

    def _place_behind(self, node: FlowNode) -> float:
        """Returns how far down those stand on average that a job comes after, so that few lines cross."""
        rows = [self._rows[box] for one in node.before if (box := self._box_of.get(one)) is not None]
        return sum(rows) / len(rows) if rows else 0.0

    def _lines(self) -> tuple[list[tuple[Box, Box]], list[Joint]]:
        behind: dict[int, list[FlowNode]] = {}  # by their join: jobs of one share the list of those before them
        for layer in self._layers[self._first :]:
            for node in layer:
                if node.before:
                    behind.setdefault(id(node.before), []).append(node)
        near = [nodes for nodes in behind.values() if min(node.layer for node in nodes[0].before) < self._end]
        lines, joints = dict[tuple[Box, Box], None](), dict[tuple[frozenset[Box], frozenset[Box]], Joint]()
        for nodes in near:
            targets = self._boxes_of(nodes)
            sources = [box for box in self._boxes_of(nodes[0].before) if box not in targets]
            if min(len(sources), len(targets)) <= 1 or len(sources) * len(targets) <= _FEW_LINES:
                pairs = {(one, other): None for one in sources for other in targets}
                lines |= {pair: None for pair in pairs if not (pair[0].step and pair[1].step)}
            else:
                joints.setdefault((frozenset(sources), frozenset(targets)), Joint(sources, targets))
        return list(lines)[:_MOST_LINES], list(joints.values())[: _MOST_LINES // ROWS]

    def _boxes_of(self, nodes: Iterable[FlowNode]) -> list[Box]:
        return list(dict.fromkeys(self._box_of[one] for one in nodes))


def _place(joints: Sequence[Joint]) -> None:
    """Gives joints their places: in front of the jobs behind them, one beside the other."""
    used = Counter[float]()
    for joint in joints:
        x = joint.targets[0].x
        ends = [box.middle for box in (*joint.sources, *joint.targets)]
        joint.x, joint.y = x - ACROSS / 2 + 6 * (used[x] % 4), sum(ends) / len(ends)
        used[x] += 1
