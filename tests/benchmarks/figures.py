"""Decides how figures are kept and told: medians with the least and the most, ratios, goals, as a table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.goals import GOALS, Goal, ratios_of, short


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

    def medians(self) -> dict[str, float]:
        """The medians of all names."""
        return {name: self.median(name) for name in self.values}

    def ratios(self) -> dict[str, float]:
        """All ratios whose two sides were measured, those to the peers among them."""
        return {text: value for text, value, _ in self._rated()}

    def goals(self) -> dict[str, dict[str, Any]]:
        """The goals of figures and ratios that were measured, and whether they are met, for programs."""
        measured = [(name, self.median(name), GOALS[name]) for name in self.values if name in GOALS]
        judged = measured + [(text, value, goal) for text, value, goal in self._rated() if goal]
        return {name: {"goal": str(goal), "met": goal.is_met(value)} for name, value, goal in judged}

    def _rated(self) -> list[tuple[str, float, Goal | None]]:
        medians = self.medians()
        return [(one.text, medians[one.one] / medians[one.two], one.goal) for one in ratios_of(medians)]

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
        return {"figures": figures, "ratios": self.ratios(), "goals": self.goals(), "remarks": self.remarks}

    def table(self) -> list[str]:
        """Everything, for people."""
        lines = [f"{'':<30}{'median':>12}{'min':>12}{'max':>12}  unit         goal"]
        lines += [self._line(name, many) for name, many in self.values.items()]
        lines += ["", f"{'ratio of medians':<58}  goal"]
        lines += [f"  {text:<48}{value:>8.2f}  {_judged(goal, value)}".rstrip() for text, value, goal in self._rated()]
        return lines + (["", *self.remarks] if self.remarks else [])

    def _line(self, name: str, many: list[float]) -> str:
        median = self.median(name)
        cells = "".join(f"{short(value):>12}" for value in (median, min(many), max(many)))
        return f"{name:<30}{cells}  {self.units[name]:<12} {_judged(GOALS.get(name), median)}".rstrip()


def _judged(goal: Goal | None, value: float) -> str:
    return f"{goal} {'met' if goal.is_met(value) else 'MISSED'}" if goal else ""
