"""Ends the processes that a test has started and that a failure has left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

_FAILED = pytest.StashKey[bool]()


def children() -> set[int]:
    """The processes that this one has started, but for those that multiprocessing keeps for itself."""
    tasks = os.listdir("/proc/self/task")
    found = {int(pid) for task in tasks for pid in _read(f"/proc/self/task/{task}/children").split()}
    return {pid for pid in found if b"multiprocessing" not in _read(f"/proc/{pid}/cmdline")}


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


@pytest.fixture(autouse=True)
def end_children(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kills what a test that has failed leaves running; those of wider fixtures have begun before it."""
    before = children()
    yield
    if request.node.stash.get(_FAILED, False):
        for pid in children() - before:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
