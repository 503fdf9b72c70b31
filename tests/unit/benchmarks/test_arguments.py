"""What the command line of the benchmarks refuses, and which benchmarks it chooses."""

from __future__ import annotations

import sys

import pytest
from tests.benchmarks.__main__ import BENCHMARKS, arguments, chosen_actions
from tests.support.tables import table


def names(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The benchmarks that run with these words."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    return list(chosen_actions(arguments()))


def test_all_run_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(monkeypatch) == list(BENCHMARKS)


def test_a_quick_run_leaves_out_the_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = set(BENCHMARKS) - set(names(monkeypatch, "--quick"))
    assert left_out == {"million", "growth", "day"}


def test_a_quick_run_has_long_ones_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(monkeypatch, "--quick", "--only", "day,drain") == ["day", "drain"]


@table(
    ("words", "said"),
    [
        (["--only", "drian"], "unknown: drian; there are floor, adding, drain"),
        (["--only", ""], "nothing is named; there are floor, adding"),
        (["--peers", "sidekiq"], "unknown: sidekiq; there are taskiq"),
        (["--repeat", "0"], "0 is less than 1"),
        (["--against"], "expected one argument"),
    ],
)
def test_what_is_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        names(monkeypatch, *words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
