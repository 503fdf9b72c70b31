"""Standard streams in any state that a program may have left them in."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.support.standard_streams import STREAMS

from taskscheduler_daemon.system.standard_streams import flush_standard_streams


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
