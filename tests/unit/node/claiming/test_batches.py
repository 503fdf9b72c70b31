"""How many of the jobs that wait fit in so many runs."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from taskscheduler_daemon.node.claiming.batches import runs_of


def jobs(kinds: str) -> list[dict[str, Any]]:
    """A letter for each job: small ones run by themselves, the others in batches of three."""
    batch = {"batch": {"size": 3, "wait": 0}}
    return [{"_id": ObjectId(), "queue": "q", "class": kind, **(batch if kind.isupper() else {})} for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "most", "fit"),
    [
        ("aaaa", 2, 2),
        ("AAAAAAA", 2, 6),
        ("AAAA", 2, 4),
        ("AbABB", 2, 3),
        ("AbABBc", 3, 5),
        ("ab", 9, 2),
        ("", 1, 0),
        ("a", 0, 0),
    ],
)
def test_each_job_is_a_run_and_so_is_each_batch(kinds: str, most: int, fit: int) -> None:
    found = jobs(kinds)
    assert runs_of(found, [job["_id"] for job in found], most) == fit


def test_only_those_count_that_are_asked_for() -> None:
    found = jobs("aaA")
    assert runs_of(found, [found[2]["_id"], found[0]["_id"]], 1) == 1
