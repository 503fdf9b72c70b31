"""Writes where a running job is."""

from __future__ import annotations

from typing import Any

from taskscheduler.model.attempts.stack import Stack, StackFrame, StackThread


def stack_record(stack: Stack) -> dict[str, Any]:
    """Returns a stack for JSON."""
    facts = stack._asdict()
    task = None if stack.task is None else _thread(stack.task)
    return {**facts, "task": task, "threads": [_thread(thread) for thread in stack.threads]}


def _thread(thread: StackThread) -> dict[str, Any]:
    return {"name": thread.name, "frames": [frame._asdict() for frame in thread.frames]}


def stack_rows(stack: Stack) -> list[tuple[str, StackFrame]]:
    """Returns the frames of all threads, each with the name of its thread or task."""
    parts = [*([] if stack.task is None else [stack.task]), *stack.threads]
    return [(part.name, frame) for part in parts for frame in part.frames]
