"""Makes text harmless for a terminal, whoever wrote it."""

from __future__ import annotations

_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def clean(text: str, keep: str = "") -> str:
    """Returns a text as one printable line, so that job data cannot move the cursor or set the title of a terminal.

    Characters in `keep` stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def clean_lines(text: str) -> list[str]:
    """Returns the lines of a longer text, each of them clean."""
    return [clean(line.expandtabs(4)) for line in text.splitlines()]


def _escaped(char: str) -> str:
    return _NAMED.get(char) or char.encode("unicode_escape").decode("ascii")
