"""Colours and characters that may be printed."""

from __future__ import annotations


def one_line(text: str) -> str:
    """A message in one line, without what could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
