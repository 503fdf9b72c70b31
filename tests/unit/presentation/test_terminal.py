"""What may be printed to a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from taskscheduler_daemon.presentation.terminal import (
    is_fancy,
    is_terminal,
    one_line,
    painted,
    remark,
    say,
    say_lines,
)


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


@pytest.mark.parametrize(
    "evil",
    ["\x1b[2J", "\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x90q\x9c", "a\rb", "a\nb", "\x08\x7f", "\u202e\u2066"],
)
def test_nothing_gets_to_a_terminal_that_could_steer_it(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"ab {evil}\tcd")
    remark(evil)
    say_lines(f'{{\n  "{evil.replace(chr(10), "")}"\n}}')
    out, err = capsys.readouterr()
    assert out.count("\n") == 4
    assert err.count("\n") == 1
    assert all(char.isprintable() or char in "\n\t" for char in out + err)


def test_only_our_own_colours_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    say(painted("a \x1b[8mb", 3, bold=True) + " \x1b[31mc")
    terminal.flush()
    raw = terminal.buffer
    assert isinstance(raw, io.BytesIO)
    assert raw.getvalue() == b"\x1b[38;5;3m\x1b[1ma \\x1b[8mb\x1b[0m \\x1b[31mc\n"
