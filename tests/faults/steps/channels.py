"""Faults in the message queues between a node and its manager, put in before the node is started."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from taskscheduler_daemon.ipc import link
from taskscheduler_daemon.ipc.channel import Channel, open_channel

Receive = Callable[[], bytes | None]


def spoil(direction: str, how: str, frames: Iterable[int]) -> None:
    """Spoil these frames (the first is 1) of the queue `down` to the manager, or `up` to the node, or of `both`.

    `how`: lose, flip (one bit), cut (in half), twice (comes again).
    """
    directions = itertools.cycle(["down", "up"])

    def opened() -> Channel:
        channel, own = open_channel(), next(directions)
        if direction in (own, "both"):
            receive: Any = _faulty(channel.receive, how, frames)
            setattr(channel, "receive", receive)  # noqa: B010
        return channel

    setattr(link, "open_channel", opened)  # noqa: B010


def _faulty(receive: Receive, how: str, frames: Iterable[int]) -> Receive:
    spoiled, numbers = frozenset(frames), itertools.count(1)
    again: list[bytes] = []

    def received() -> bytes | None:
        if again:
            return again.pop()
        for frame in iter(receive, None):
            number = next(numbers)
            if number not in spoiled:
                return frame
            if how == "twice":
                again.append(frame)
                return frame
            if how != "lose":
                return _damaged(frame, how, number)
        return None

    return received


def _damaged(frame: bytes, how: str, number: int) -> bytes:
    if how == "cut":
        return frame[: len(frame) // 2]
    place = number * 7 % len(frame)
    return frame[:place] + bytes([frame[place] ^ 1 << number % 8]) + frame[place + 1 :]


def every(nth: int, start: int = 10) -> Iterator[int]:
    """The numbers of frames in a long run: one of so many, not the first few."""
    return iter(range(start, 1_000_000, nth))
