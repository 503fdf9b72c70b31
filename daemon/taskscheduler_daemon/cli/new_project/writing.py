"""Writes the files of a new project into a folder, and never over one that is there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

_TEMPLATES = Path(__file__).with_name("templates")

FILES = ("README.md", "pyproject.toml", "jobs.py", "test_jobs.py")


def write_project(folder: Path) -> None:
    """Writes all files, and makes the folder if it is missing. UsageError if one of them is there, or cannot be."""
    there = [name for name in FILES if os.path.lexists(folder / name)]
    if there:
        raise click.UsageError(
            f"{folder} has {' and '.join(there)} already, and nothing is overwritten; name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            with (folder / name).open("x", encoding="utf-8") as file:  # refuses what another one has just made
                file.write(_text_of(name, folder))
    except OSError as error:
        raise click.UsageError(f"the project cannot be written: {error}") from error


def project_name(folder: Path) -> str:
    """Returns a name for the project and its database, of the letters, digits and - that both accept."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40].strip("-") or "project"


def _text_of(name: str, folder: Path) -> str:
    text = (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")
    return text.format(name=project_name(folder)) if not name.endswith(".py") else text
