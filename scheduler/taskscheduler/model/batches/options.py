"""The options `batch` and `batch_wait` of a job class, and how a job carries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import Check, integer, seconds
from taskscheduler.model.sound import is_number

MOST_JOBS = 1000

LONGEST_WAIT = 60  #: seconds; the jobs of a batch that gathers are claimed, so no other node can run them meanwhile

BATCH, BATCH_WAIT = "batch", "batch_wait"


def _batch_wait(name: str, value: Any) -> float | int:
    wait = seconds(name, value)
    if wait > LONGEST_WAIT:
        raise InvalidOptionError(f"option {name} must be between 0 and {LONGEST_WAIT} seconds, not {value!r:.60}")
    return wait


#: the options of a class that runs its jobs in batches
BATCH_CHECKS: Mapping[str, Check] = {
    BATCH: lambda name, value: integer(name, value, least=1, most=MOST_JOBS),
    BATCH_WAIT: _batch_wait,
}


class BatchOptions(NamedTuple):
    """How jobs of one class are gathered."""

    size: int  #: jobs at most in a batch
    wait: float | int = 0  #: seconds for which the first job of a batch waits for more of them

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self | None:
        """Checks the options of a class; None if it runs its jobs one by one. InvalidOptionError for a wrong value."""
        checked = {name: check(name, given[name]) for name, check in BATCH_CHECKS.items() if name in given}
        if BATCH_WAIT in checked and BATCH not in checked:
            raise InvalidOptionError(f"option {BATCH_WAIT} needs option {BATCH}: how many jobs run at once")
        return cls(checked[BATCH], checked.get(BATCH_WAIT, 0)) if BATCH in checked else None

    def stored(self) -> dict[str, Any]:
        """Returns what a job carries, so that a node can gather it without knowing its class."""
        return self._asdict()

    def shown(self) -> dict[str, Any]:
        """Returns the options by their names on the class."""
        return {BATCH: self.size, **({BATCH_WAIT: self.wait} if self.wait else {})}


def batch_of(job: Mapping[str, Any]) -> BatchOptions | None:
    """Returns how a stored job is gathered; None for one that runs alone, also if the field makes no sense."""
    stored = job.get(BATCH)
    if not isinstance(stored, Mapping):
        return None
    size, wait = stored.get("size"), stored.get("wait", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1 or not is_number(wait) or wait < 0:
        return None
    return BatchOptions(min(size, MOST_JOBS), min(wait, LONGEST_WAIT))


def check_not_of_class(given: Mapping[str, Any]) -> None:
    """Raises InvalidOptionError if options of a class are given for a single job."""
    if BATCH in given or BATCH_WAIT in given:
        name = BATCH if BATCH in given else BATCH_WAIT
        raise InvalidOptionError(
            f"option {name} belongs to a job class: `{name} = ...` in the class, or @job({name}=...) on the function"
        )
