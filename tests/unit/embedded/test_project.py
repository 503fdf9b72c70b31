"""The database of a project: which folder it is, and a name that MongoDB accepts and no other project has."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from taskscheduler import EmbeddedServerError, InvalidOptionError, Scheduler
from taskscheduler.embedded.project import MARKERS, EmbeddedDatabase, checked, database_of, project_folder


@pytest.mark.parametrize("marker", MARKERS)
def test_a_project_begins_at_the_nearest_marker(tmp_path: Path, marker: str) -> None:
    inner = tmp_path / "outer" / "shop"
    below = inner / "src" / "shop"
    below.mkdir(parents=True)
    (tmp_path / "outer" / "pyproject.toml").touch()
    (inner / marker).touch()
    assert [project_folder(folder) for folder in (below, inner / "src", inner)] == [inner] * 3
    assert project_folder(tmp_path / "outer") == tmp_path / "outer"


def test_a_folder_without_a_marker_is_its_own_project(tmp_path: Path) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    (here / "hello.py").touch()
    assert project_folder(here) == here


def test_the_name_is_stable_and_says_which_folder_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert re.fullmatch("shop-[0-9a-f]{8}", database_of(folder))
    assert database_of(folder) == database_of(folder / "." / ".." / "shop") == database_of(tmp_path / "link")


def test_folders_of_one_name_have_databases_of_their_own(tmp_path: Path) -> None:
    same = [
        tmp_path / place / name for place in ("a", "b") for name in ("shop", "Shop", "shop_", "sh\u00f6p", "sh\u00e4p")
    ]
    names = [database_of(folder) for folder in same]
    assert len({name.lower() for name in names}) == len(same)  # MongoDB tells no cases apart


@pytest.mark.parametrize(
    "name",
    ["x" * 200, "\u65e5\u672c", 'a.b$c d"e\\f', "...", "admin", "LOCAL", os.fsdecode(b"\xff\xfe"), "\u00c4" * 60, "-"],
)
def test_any_folder_has_a_name_that_mongodb_accepts(tmp_path: Path, name: str) -> None:
    found = database_of(tmp_path / name)
    assert checked(found) == found
    assert re.fullmatch(r"[a-z0-9_-]+-[0-9a-f]{8}", found)
    assert re.fullmatch(r"project-[0-9a-f]{8}", database_of(Path("/")))


def test_the_environment_names_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKSCHEDULER_DATABASE", "taskscheduler")
    assert EmbeddedDatabase.chosen().name == "taskscheduler"
    for none in ("", None):
        monkeypatch.setenv("TASKSCHEDULER_DATABASE", none) if none is not None else monkeypatch.delenv(
            "TASKSCHEDULER_DATABASE"
        )
        assert EmbeddedDatabase.chosen().name == database_of(tmp_path)


@pytest.mark.parametrize(
    "name", ["a b", "a/b", "a.b", "$x", "x" * 64, "\u00e4" * 32, "admin", "Local", "config", 'a"', "a\\b"]
)
def test_a_name_that_mongodb_does_not_accept_is_refused_where_it_is_given(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("TASKSCHEDULER_URI", raising=False)
    monkeypatch.setenv("TASKSCHEDULER_DATABASE", name)
    with pytest.raises(InvalidOptionError, match="TASKSCHEDULER_DATABASE must be the name of a database, not "):
        Scheduler()
    monkeypatch.setenv("TASKSCHEDULER_URI", "mongodb://127.0.0.1:1/app")
    Scheduler().close()  # where it is not used, it does not matter


def test_a_working_directory_that_is_gone_is_an_error_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.delenv("TASKSCHEDULER_DATABASE", raising=False)
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(EmbeddedServerError, match=r"working directory cannot be read.*TASKSCHEDULER_DATABASE"):
        EmbeddedDatabase.chosen()
