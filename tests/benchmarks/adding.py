"""How fast jobs are added while nothing runs them, next to bare inserts in the same minute."""

from __future__ import annotations

from tests.benchmarks import floor
from tests.benchmarks.stage import Stage


def measure(stage: Stage) -> None:
    """One job per call from one and from eight threads, and many per call."""
    seconds = 3.0 if not stage.quick else 1.0
    for threads in (1, 8):
        stage.figures.note(f"floor.insert_{threads}", floor.singles(stage, threads, seconds))
        for version in stage.in_turn():
            with stage.fresh_uri() as uri:
                stage.figures.note(f"{version.name}.add_{threads}", version.act(uri, "singles", threads, seconds))
    for version in stage.in_turn():
        with stage.fresh_uri() as uri:
            stage.figures.note(f"{version.name}.add_jobs", version.act(uri, "many", stage.scaled(30_000, 5_000)))
