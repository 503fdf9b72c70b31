"""Asks for confirmation before a command does what cannot be undone."""

from __future__ import annotations

import sys

import click

from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import remark


def confirmed(question: str, refusal: str) -> bool:
    """Returns whether the person at the terminal says yes; prints `refusal` if not, or if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        remark(f"taskscheduler: {refusal}: no terminal to ask for confirmation; use --yes")
        return False
    if not click.confirm(clean(question), err=True):
        remark(f"taskscheduler: {refusal}")
        return False
    return True
