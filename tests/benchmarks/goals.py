"""Decides what is compared with what, and which figures and ratios are good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """At least (`>=`) or at most (`<=`) so much."""

    sign: str
    wanted: float

    def is_met(self, value: float) -> bool:
        """Returns whether a value is good enough; exactly as much as is wanted is."""
        return value >= self.wanted if self.sign == ">=" else value <= self.wanted

    def __str__(self) -> str:
        return f"{self.sign} {short(self.wanted)}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure divided by another one, if both were measured in this run."""

    text: str
    one: str
    two: str
    goal: Goal | None = None


def at_least(wanted: float) -> Goal:
    """Returns the goal of so much or more."""
    return Goal(">=", wanted)


def at_most(wanted: float) -> Goal:
    """Returns the goal of so much or less."""
    return Goal("<=", wanted)


def short(value: float) -> str:
    """Returns a number as people read it."""
    return f"{value:,.0f}".replace(",", " ") if value >= 1000 else f"{value:.4g}"


_AT_REV = "at REV"

RATIOS = [
    Ratio("add_jobs / bare batch inserts", "product.add_jobs", "floor.insert_batch"),
    Ratio("add_job / bare insert, 1 thread", "product.add_1", "floor.insert_1"),
    Ratio("add_job / bare inserts, 8 threads", "product.add_8", "floor.insert_8"),
    Ratio("drain, completed / bare pipeline", "product.drain_completed", "floor.pipeline"),
    Ratio("bare pipeline watched by a stream / not", "floor.pipeline_watched", "floor.pipeline"),
    Ratio("add -> start / bare insert at that pace", "product.start_p50", "floor.paced_insert_p50", at_most(2.2)),
    Ratio("add -> result / bare insert at that pace", "product.result_p50", "floor.paced_insert_p50", at_most(3.6)),
    Ratio("drain, completed / executed", "product.drain_completed", "product.drain_executed"),
    Ratio("with producers / drain", "product.flow_completed", "product.drain_completed"),
    Ratio("others while urgent jobs come / drain", "product.urgent_others", "product.drain_executed"),
    Ratio("two nodes / one node", "product.two_nodes", "product.drain_executed"),
    Ratio("backlog of 1 000 000 / of 10 000", "product.backlog_large", "product.backlog_small"),
    Ratio("the same after 90 000 jobs / of 10 000", "product.backlog_further", "product.backlog_small"),
    Ratio("memory of the node then / of 10 000", "product.backlog_further_pss", "product.backlog_small_pss"),
    Ratio(f"drain, executed / the same {_AT_REV}", "product.drain_executed", "before.drain_executed"),
    Ratio(
        f"drain, completed / the same {_AT_REV}", "product.drain_completed", "before.drain_completed", at_least(1.35)
    ),
    Ratio(f"add_jobs / {_AT_REV}", "product.add_jobs", "before.add_jobs"),
    Ratio(f"add_job, 1 thread / {_AT_REV}", "product.add_1", "before.add_1"),
    Ratio(f"add_job, 8 threads / {_AT_REV}", "product.add_8", "before.add_8"),
    Ratio(f"start p50 / {_AT_REV}", "product.start_p50", "before.start_p50"),
    Ratio(f"start p99 / {_AT_REV}", "product.start_p99", "before.start_p99"),
    Ratio(f"result p50 / {_AT_REV}", "product.result_p50", "before.result_p50"),
    Ratio("drain, completed: many ended jobs / none", "growth.drain_many", "growth.drain_none", at_least(0.9)),
    Ratio("start p50: many ended jobs / none", "growth.start_p50_many", "growth.start_p50_none", at_most(1.1)),
    Ratio("result p50: many ended jobs / none", "growth.result_p50_many", "growth.result_p50_none", at_most(1.1)),
    Ratio("memory of the node: many ended jobs / none", "growth.pss_many", "growth.pss_none", at_most(1.1)),
    Ratio("a day's jobs: rate at the end / at the begin", "day.rate_end", "day.rate_begin", at_least(0.9)),
    Ratio("a day's jobs: memory at the end / at the begin", "day.pss_end", "day.pss_begin", at_most(1.1)),
]

FASTEST_PEER = at_least(2.2)  #: of the drain, executed, beside the fastest of the peers in this run

#: for this machine of 2 cores, with mongod on it; the goals of ratios hold anywhere
GOALS = {
    "product.add_jobs": at_least(30_000),
    "product.drain_completed": at_least(15_000),
    "product.flow_completed": at_least(7_500),
    "product.start_p50": at_most(4),
    "product.start_p99": at_most(15),
    "product.result_p50": at_most(8),
    "product.urgent_p99": at_most(50),
    "product.idle_cpu": at_most(0.6),
    "product.idle_pss": at_most(70),
    "product.idle_writes": at_most(1),
    "product.schedule_added_p99": at_most(500),
    "product.schedule_looks": at_most(4),
}


def ratios_of(medians: Mapping[str, float]) -> list[Ratio]:
    """Returns the ratios whose two sides are there, those to the peers among them."""
    wanted = [*RATIOS, *_to_peers(medians)]
    return [ratio for ratio in wanted if ratio.one in medians and ratio.two in medians]


def _to_peers(medians: Mapping[str, float]) -> list[Ratio]:
    """Of all peers only the fastest one has a goal."""
    drains = {name: value for name, value in medians.items() if name.startswith("peer.") and name.endswith(".drain")}
    ratios = [Ratio(f"drain, executed / {name.split('.')[1]}", "product.drain_executed", name) for name in drains]
    if not drains:
        return []
    fastest = max(drains, key=drains.__getitem__)
    text = f"drain, executed / fastest peer ({fastest.split('.')[1]})"
    return [*ratios, Ratio(text, "product.drain_executed", fastest, FASTEST_PEER)]
