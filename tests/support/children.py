"""Ends the processes that a test has started and that a failure has left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support import nursery

_FAILED = pytest.StashKey[bool]()


#: those who start processes for others, and live as long as this process
_STARTERS = (b"multiprocessing", nursery.__name__.encode())


def children() -> set[int]:
    """The processes that this one has started, itself or through others that it keeps for that."""
    own = _children("self")
    starters = {pid for pid in own if any(name in _read(f"/proc/{pid}/cmdline") for name in _STARTERS)}
    return (own - starters).union(*(_children(pid) for pid in starters))


def _children(of: int | str) -> set[int]:
    with suppress(OSError):
        tasks = os.listdir(f"/proc/{of}/task")
        return {int(pid) for task in tasks for pid in _read(f"/proc/{of}/task/{task}/children").split()}
    return set()


def _read(path: str) -> bytes:
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        return file.read()
    return b""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        item.stash[_FAILED] = True
    return report


def has_failed(request: pytest.FixtureRequest) -> bool:
    """Whether the test of this fixture has failed so far."""
    return request.node.stash.get(_FAILED, False)  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def end_children(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kills what a test that has failed leaves running; those of wider fixtures have begun before it."""
    before = children()
    yield
    if has_failed(request):
        for pid in children() - before:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
