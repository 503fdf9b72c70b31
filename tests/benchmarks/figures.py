"""Decides how figures are kept and told: medians with the least and the most, ratios, goals, as a table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

#: what is divided by what; both must have been measured in this run
RATIOS = [
    ("add_jobs / bare batch inserts", "product.add_jobs", "floor.insert_batch"),
    ("add_job / bare insert, 1 thread", "product.add_1", "floor.insert_1"),
    ("add_job / bare inserts, 8 threads", "product.add_8", "floor.insert_8"),
    ("drain, completed / bare pipeline", "product.drain_completed", "floor.pipeline"),
    ("bare pipeline watched by a stream / not", "floor.pipeline_watched", "floor.pipeline"),
    ("add -> start / bare insert at that pace", "product.start_p50", "floor.paced_insert_p50"),
    ("drain, completed / executed", "product.drain_completed", "product.drain_executed"),
    ("with producers / drain", "product.flow_completed", "product.drain_completed"),
    ("two nodes / one node", "product.two_nodes", "product.drain_executed"),
    ("backlog of 1 000 000 / of 10 000", "product.backlog_large", "product.backlog_small"),
    ("the same after 90 000 jobs / of 10 000", "product.backlog_further", "product.backlog_small"),
    ("memory of the node then / of 10 000", "product.backlog_further_pss", "product.backlog_small_pss"),
]
#: of section 10 of the contract: at least, or at most
GOALS = {
    "product.add_jobs": (">=", 30_000),
    "product.drain_completed": (">=", 15_000),
    "product.flow_completed": (">=", 7_500),
    "product.start_p50": ("<=", 4),
    "product.start_p99": ("<=", 15),
    "product.result_p50": ("<=", 8),
    "product.idle_cpu": ("<=", 0.6),
    "product.idle_pss": ("<=", 70),
    "product.idle_writes": ("<=", 1),
    "product.schedule_added_p99": ("<=", 500),
    "product.schedule_looks": ("<=", 4),
}


@dataclass
class Figures:
    """All measured values by name, one per repetition."""

    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def note(self, name: str, value: float, unit: str = "/s") -> None:
        """Keep one value."""
        self.values.setdefault(name, []).append(value)
        self.units[name] = unit

    def remark(self, text: str) -> None:
        """Keep a sentence for the end, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def median(self, name: str) -> float:
        return statistics.median(self.values[name])

    def ratios(self) -> dict[str, float]:
        """All ratios whose two sides were measured, those to the peers among them."""
        pairs = list(RATIOS)
        for name in self.values:
            if name.startswith("peer.") and name.endswith(".drain"):
                pairs.append((f"drain, executed / {name.split('.')[1]}", "product.drain_executed", name))
        known = self.values.keys()
        return {text: self.median(one) / self.median(two) for text, one, two in pairs if {one, two} <= known}

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        figures = {
            name: {
                "unit": self.units[name],
                "median": self.median(name),
                "min": min(many),
                "max": max(many),
                "all": many,
            }
            for name, many in self.values.items()
        }
        return {"figures": figures, "ratios": self.ratios(), "remarks": self.remarks}

    def table(self) -> list[str]:
        """Everything, for people."""
        lines = [f"{'':<30}{'median':>12}{'min':>12}{'max':>12}  unit         goal"]
        lines += [self._line(name, many) for name, many in self.values.items()]
        lines += ["", f"{'ratio of medians':<50}"]
        lines += [f"  {text:<48}{ratio:>8.2f}" for text, ratio in self.ratios().items()]
        return lines + (["", *self.remarks] if self.remarks else [])

    def _line(self, name: str, many: list[float]) -> str:
        cells = "".join(f"{_short(value):>12}" for value in (self.median(name), min(many), max(many)))
        return f"{name:<30}{cells}  {self.units[name]:<12} {self._goal(name)}".rstrip()

    def _goal(self, name: str) -> str:
        if name not in GOALS:
            return ""
        sign, wanted = GOALS[name]
        met = self.median(name) >= wanted if sign == ">=" else self.median(name) <= wanted
        return f"{sign} {_short(wanted)} {'met' if met else 'MISSED'}"


def _short(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1000 else f"{value:.4g}"
