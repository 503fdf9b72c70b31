"""Which files are watched, and when they have changed."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

import taskscheduler
from taskscheduler_daemon.cli.reloading.sources import expected_files, files_in, files_of
from taskscheduler_daemon.cli.reloading.watched_files import WatchedFiles


def module(name: str, file: str | None) -> tuple[str, ModuleType]:
    made = ModuleType(name)
    made.__file__ = file
    return name, made


def test_the_files_of_the_user_are_watched_and_nothing_that_was_installed() -> None:
    loaded = dict(
        [
            module("shop.jobs", "/srv/shop/jobs.py"),
            module("odd", None),
            module("fast", "/srv/shop/fast.so"),
            module("bson", "/srv/venv/lib/python3/site-packages/bson/__init__.py"),
            module("apt", "/usr/lib/python3/dist-packages/apt.py"),
            module("json", f"{sysconfig.get_path('stdlib')}/json/__init__.py"),
            module("taskscheduler.clock", f"{Path(taskscheduler.__file__).parent}/clock.py"),
        ]
    )
    assert [*files_of({**loaded, "none": None})] == ["/srv/shop/jobs.py"]


def test_the_file_with_a_syntax_error_is_watched(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("x = =")
    with pytest.raises(SyntaxError) as caught:
        compile(broken.read_text(), str(broken), "exec")
    error = RuntimeError("cannot import")
    error.__cause__ = caught.value
    assert str(broken) in files_in(error)


def test_a_module_that_is_missing_is_awaited_in_this_folder() -> None:
    assert [*expected_files(["shop.jobs"], Path("/srv"))] == ["/srv/shop/jobs.py", "/srv/shop/jobs/__init__.py"]


def test_a_change_counts_from_the_moment_before_the_files_are_read(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("1")
    files = WatchedFiles()
    files.add([str(first), str(second)])
    assert files.changed() == []
    second.write_text("new")
    first.write_text("longer")
    assert files.changed() == [str(first), str(second)]
    files.about_to_read()
    assert files.changed() == []
    second.unlink()
    files.add([str(second)])
    assert files.changed() == [str(second)]
    files.about_to_read()
    os.utime(first, ns=(1, 1))
    assert files.changed() == [str(first)]
