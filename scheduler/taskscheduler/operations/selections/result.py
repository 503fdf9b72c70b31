"""SelectionResult: how many jobs were changed, and why others were not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class SelectionResult:
    """What a retry, a cancellation or a deletion of many jobs has done."""

    count: int = 0  #: jobs that were changed, or with `dry_run` would be
    reasons: Counter[str] = field(default_factory=Counter)  #: why jobs were skipped, and how many for each reason
    total: int = 0  #: jobs that matched, up to the limit
    dry_run: bool = False
    done: str = "changed"  #: what was done: retried, cancelled, deleted

    @property
    def skipped(self) -> int:
        """How many jobs matched and could not be changed."""
        return self.reasons.total()


def tell_how_far(error: BaseException, so_far: SelectionResult) -> None:
    """Adds to an error, or Ctrl-C, once, how many jobs were changed before it."""
    if so_far.total and not getattr(error, "__notes__", ()):
        done = f"{so_far.count} of {so_far.total} jobs were {so_far.done} before this"
        error.add_note(f"{done}; the same call goes on with the others")
