"""Decides how a command makes sure that somebody really wants what cannot be undone."""

from __future__ import annotations

import sys

import click

from taskscheduler_daemon.presentation.terminal import remark


def confirmed(question: str, refusal: str) -> bool:
    """Whether the person at the terminal says yes; without one nobody can be asked, and `refusal` says so."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        remark(f"taskscheduler: {refusal}: there is nobody to ask; confirm with --yes")
        return False
    if not click.confirm(question, err=True):
        remark(f"taskscheduler: {refusal}")
        return False
    return True
