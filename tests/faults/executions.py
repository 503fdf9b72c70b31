"""Pure: what was executed when and by whom, and which processes were frozen meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.faults.history import Event


@dataclass(slots=True)
class Execution:
    """One attempt, from its first to its last sign of life."""

    attempt: int
    pid: int
    manager: int
    began: float
    last: float
    starts: int = 1
    how: str | None = None  #: how it ended; None: it was cut off


def executions(events: Iterable[Event]) -> dict[str, list[Execution]]:
    """All attempts that began, by job, in the order in which they began."""
    found: dict[str, dict[tuple[int, int], Execution]] = {}
    for event in events:
        if event["what"] not in ("start", "beat", "end"):
            continue
        runs, key = found.setdefault(event["job"], {}), (event["attempt"], event["pid"])
        run = runs.get(key)
        if event["what"] == "start":
            if run is None:
                runs[key] = Execution(event["attempt"], event["pid"], event["manager"], event["t"], event["t"])
            else:
                run.starts += 1
        elif run is not None:
            run.last = event["t"]
            run.how = event.get("how", run.how)
    result = {job: sorted(runs.values(), key=lambda run: run.began) for job, runs in found.items()}
    for runs_of_job in result.values():
        _count_doubles(runs_of_job)
    return result


def _count_doubles(runs: Sequence[Execution]) -> None:
    """One attempt in two processes was started twice."""
    for run in runs:
        run.starts += sum(1 for other in runs if other is not run and other.attempt == run.attempt)


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which a process was stopped."""

    began: float
    ended: float


def pauses(events: Iterable[Event]) -> dict[int, list[Pause]]:
    """When each process was frozen."""
    found: dict[int, list[Pause]] = {}
    open_since: dict[int, float] = {}
    for event in events:
        if event["what"] == "pause":
            open_since |= dict.fromkeys(event["pids"], event["t"])
        elif event["what"] == "resume":
            for pid in event["pids"]:
                if pid in open_since:
                    found.setdefault(pid, []).append(Pause(open_since.pop(pid), event["t"]))
    for pid, since in open_since.items():
        found.setdefault(pid, []).append(Pause(since, float("inf")))
    return found


def overlaps(runs: Sequence[Execution]) -> list[tuple[Execution, Execution]]:
    """Pairs of attempts of one job of which the earlier one still showed signs of life after the later one began."""
    return [
        (earlier, later)
        for number, earlier in enumerate(runs)
        for later in runs[number + 1 :]
        if later.began < earlier.last
    ]


def excused(earlier: Execution, later: Execution, frozen: dict[int, list[Pause]], margin: float) -> bool:
    """Whether the earlier holder was frozen when the later one began, and went on no longer than `margin` after."""
    for pid in (earlier.pid, earlier.manager):
        for pause in frozen.get(pid, ()):
            if pause.began <= later.began and earlier.last <= pause.ended + margin and pause.ended >= earlier.began:
                return True
    return False
