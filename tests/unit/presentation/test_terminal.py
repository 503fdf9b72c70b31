"""What may be printed to a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from taskscheduler_daemon.presentation.terminal import is_fancy, is_terminal, one_line, remark, say


class FakeTerminal(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Makes a stream the standard output; to be called in the test itself, before which pytest sets its own."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return lambda stream=None: monkeypatch.setattr(sys, "stdout", stream or FakeTerminal())


def test_a_terminal_shows_colours(use: Use) -> None:
    use()
    assert is_terminal()
    assert is_fancy()


def test_colours_can_be_refused(use: Use) -> None:
    use()
    assert not is_fancy(no_color=True)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_the_environment_can_refuse_colours(use: Use, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    use()
    monkeypatch.setenv(name, value)
    assert is_terminal()
    assert not is_fancy()


@pytest.mark.parametrize(("encoding", "fancy"), [("UTF-8", True), ("ascii", False), ("latin-1", False)])
def test_signs_need_a_unicode_encoding(use: Use, encoding: str, fancy: bool) -> None:
    use(FakeTerminal(encoding))
    assert is_fancy() is fancy


def test_a_pipe_is_not_fancy(use: Use) -> None:
    use(io.StringIO())
    assert not is_terminal()
    assert not is_fancy()


def test_results_and_remarks_go_to_different_streams(capsys: pytest.CaptureFixture[str]) -> None:
    say("result")
    say()
    remark("remark")
    assert capsys.readouterr() == ("result\n\n", "remark\n")


def test_a_message_becomes_one_harmless_line() -> None:
    assert one_line(" a\n\tb\x1b[31m\u202ec ") == "a b [31m c"
