"""Progress messages of a running job: the checks that they pass before they are sent."""

from __future__ import annotations

from typing import Any


def checked_progress(
    progress: float | None, message: str | None, completed: float | None = None, target: float = 100
) -> float | None:
    """Returns the progress as it is stored; ValueError or TypeError for a bad progress or message."""
    if message is not None and not isinstance(message, str):
        raise TypeError(f"the message of a progress must be a text, not {type(message).__name__}")
    if completed is not None:
        if progress is not None:
            raise ValueError("give progress or completed, not both")
        progress = _percent(completed, target)
    if progress is None:
        return None
    if not _is_number(progress) or not 0 <= progress <= 100:
        raise ValueError(f"progress may only be between 0 to 100, not {progress!r}")
    return round(float(progress), 2)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _percent(completed: Any, target: Any) -> float:
    if not _is_number(target) or not 0 < target < float("inf"):
        raise ValueError(f"progress_target must be a number greater than 0, not {target!r}")
    if not _is_number(completed) or not 0 <= completed <= target:
        raise ValueError(f"completed may only be between 0 and the progress_target {target!r}, not {completed!r}")
    return float(100 * completed / target)
