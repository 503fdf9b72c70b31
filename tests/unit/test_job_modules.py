"""What the import of job modules shows: here the version of the distribution that they belong to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taskscheduler_daemon import job_modules


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module and a package that have been imported."""
    (tmp_path / "shop_a").mkdir()
    (tmp_path / "shop_a" / "__init__.py").touch()
    (tmp_path / "shop_b.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shop_a", "shop_b"):
        __import__(name)
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, name, __import__(name))
    return tmp_path


def install(site: Path, name: str, version: str, **files: str) -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for file, text in files.items():
        (folder / file).write_text(text)


def test_modules_that_nothing_has_installed_have_no_version(site: Path) -> None:
    install(site, "other", "9.9", RECORD="other.py,,\n")
    assert job_modules._version(["shop_a.jobs", "shop_b"]) == ""


@pytest.mark.parametrize("files", [{"RECORD": "shop_b.py,,\n"}, {"RECORD": "shop_a/__init__.py,,\nx,,\n"}])
def test_the_first_distribution_that_has_installed_one_of_them_counts(site: Path, files: dict[str, str]) -> None:
    install(site, "shop", "1.4.2", **files)
    assert job_modules._version(["json", "shop_a.jobs", "shop_b"]) == "1.4.2"


def test_a_distribution_may_list_what_it_has_installed(site: Path) -> None:
    install(site, "shop", "1.4.2", **{"top_level.txt": "shop_a\nshop_b\n"})
    assert job_modules._version(["shop_b"]) == "1.4.2"


def test_a_broken_installation_stops_no_node(site: Path) -> None:
    (site / "shop-1.dist-info").mkdir()
    (site / "shop-1.dist-info" / "RECORD").write_bytes(b"shop_a/__init__.py,,\n\xff\xfe")
    assert job_modules._version(["shop_a"]) == ""
