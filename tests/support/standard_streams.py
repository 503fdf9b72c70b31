"""Standard output in each state that a program may have left it in."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any


def closed() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


def of_a_broken_pipe() -> io.TextIOWrapper:
    reader, writer = os.pipe()
    os.close(reader)
    return _unwritten(writer)


def of_a_full_disk() -> io.TextIOWrapper:
    return _unwritten(os.open("/dev/full", os.O_WRONLY))


def detached() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.detach()
    return stream


def _unwritten(descriptor: int) -> io.TextIOWrapper:
    stream = os.fdopen(descriptor, "w")
    stream.write("not written yet")
    return stream


STREAMS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "closed": closed,
    "detached": detached,
    "broken pipe": of_a_broken_pipe,
    "full disk": of_a_full_disk,
}
