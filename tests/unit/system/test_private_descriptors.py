"""Descriptors that forks close, and those that they leave to their owners."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskscheduler_daemon.system import private_descriptors
from taskscheduler_daemon.system.private_descriptors import close_private, keep_private


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_descriptors, "_private", {})


def is_open(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").exists()


def test_only_private_ones_are_closed_and_of_these_not_those_to_keep() -> None:
    (ours, kept), strange = os.pipe(), os.pipe()
    keep_private(ours, kept)
    close_private({kept})
    assert [is_open(one) for one in (ours, kept, *strange)] == [False, True, True, True]
    close_private(set())
    assert not is_open(kept)
    for descriptor in strange:
        os.close(descriptor)


def test_a_number_that_was_given_to_something_else_is_not_closed(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    keep_private(reader, writer)
    os.close(reader)
    with (tmp_path / "log").open("w") as file:
        assert file.fileno() == reader
        os.close(writer)
        close_private(set())
        file.write("still mine")
    assert (tmp_path / "log").read_text() == "still mine"
