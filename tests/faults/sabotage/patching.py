"""Patches a mechanism of the product, and has a wrong clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from taskscheduler.clock import SystemClock

SKEW = timedelta(hours=1)


class WrongClock(SystemClock):
    """The clock of a host that is an hour ahead."""

    def now(self) -> datetime:
        return super().now() + SKEW


def replace_in(owner: Any, name: str, value: Any) -> None:
    """Puts a value in place of one that is there."""
    assert hasattr(owner, name), f"{owner} has no {name} to take away"
    setattr(owner, name, value)
