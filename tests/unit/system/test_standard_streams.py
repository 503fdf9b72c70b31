"""Standard streams in any state that a program may have left them in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from taskscheduler_daemon.system.standard_streams import flush_standard_streams


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

#: a test may not fork itself, as it may have threads
_PROGRAM = """
import os, sys
from taskscheduler_daemon.system.reap import wait_for
from taskscheduler_daemon.system.spawn import spawn
from tests.unit.system.test_standard_streams import STREAMS
for make in STREAMS.values():
    sys.stdout = make()
    sys.stderr.write(str(wait_for(spawn(lambda: 7, title="test", keep=[], die_with_parent=False)).code))
sys.stderr.flush()
os._exit(0)
"""


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stream = STREAMS[request.param]()
    monkeypatch.setattr(sys, "stdout", stream)
    yield stream
    with suppress(AttributeError, OSError, ValueError):
        stream.close()


def test_the_other_stream_is_flushed(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw))
    sys.stderr.write("text")
    flush_standard_streams()
    assert raw.getvalue() == b"text"


def test_a_process_is_started_all_the_same() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stderr) == (0, "7" * len(STREAMS))
