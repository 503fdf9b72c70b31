"""What the log says while a client looks for a server: nothing at first, then where to, then why not."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.eventually import eventually

from taskscheduler import slow_connection
from taskscheduler.slow_connection import SlowConnection

logger = logging.getLogger("test.slow_connection")


@dataclass
class FakeTopology:
    """What the driver knows of the servers."""

    servers: dict[tuple[str, int | None], Any] = field(default_factory=dict)
    writable: bool = False

    def has_writable_server(self) -> bool:
        return self.writable

    def server_descriptions(self) -> dict[tuple[str, int | None], Any]:
        return self.servers


def server(error: str = "", *, known: bool = False) -> Any:
    return SimpleNamespace(error=OSError(error) if error else None, is_server_type_known=known)


def database(topology: FakeTopology) -> Any:
    return SimpleNamespace(name="shop", client=SimpleNamespace(topology_description=topology))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(slow_connection, "NAMED_AFTER", 0.02)
    monkeypatch.setattr(slow_connection, "EXPLAINED_AFTER", 0.04)
    caplog.set_level(logging.INFO, logger.name)


REFUSED = "b:27017: Connection refused (configured timeouts: socketTimeoutMS: 20000.0ms)"


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        ({("b", 27017): server(REFUSED)}, "b:27017: Connection refused"),
        ({("b", 1): server("b: x"), ("a", 1): server("a: y"), ("c", 1): server("a: y")}, "a: y; b: x"),
        ({("b", 1): server(known=True), ("c", 1): server()}, "no server that answers is the primary"),
        ({("b", 1): server()}, "no server answers"),
        ({}, "no server answers"),
    ],
)
def test_the_place_and_then_the_reason(servers: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    with SlowConnection(database(FakeTopology(servers)), logger):
        eventually(lambda: len(caplog.messages) == 2, 30, "both lines")
    place = ", ".join(sorted(f"{host}:{port}" for host, port in servers)) or "servers that DNS names"
    assert caplog.messages == [
        f"connecting to {place}, database shop",
        f"no connection to {place}, database shop yet: {reason}",
    ]
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]


def test_nothing_is_said_once_there_is_a_server(caplog: pytest.LogCaptureFixture) -> None:
    topology = FakeTopology({("b", 1): server()}, writable=True)
    with SlowConnection(database(topology), logger) as watch:
        watch._thread.join(10)
    assert caplog.messages == []


def test_the_watch_ends_with_the_wait(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(slow_connection, "NAMED_AFTER", 60.0)
    with pytest.raises(KeyboardInterrupt), SlowConnection(database(FakeTopology()), logger) as watch:
        raise KeyboardInterrupt
    assert not watch._thread.is_alive()
    assert caplog.messages == []
