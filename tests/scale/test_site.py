"""The site of the documentation builds without a warning, has every page, and loads nothing from other hosts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import taskscheduler
import taskscheduler_daemon
from taskscheduler_daemon.cli.group import COMMANDS
from tests.support.pages import DOCS, ROOT

pytestmark = [pytest.mark.scale, pytest.mark.timeout(900)]

PAGES = sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning fails the tests."""
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(built)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (ran.returncode, ran.stderr) == (0, "")
    return built


class Loads(HTMLParser):
    """The addresses that a browser loads by itself when it shows a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        names = ["src", "srcset", "data", "poster", *(["href"] if tag == "link" else [])]
        if given.get("rel") not in ("canonical", "author", "search", "index", "next", "prev"):
            self.found += [given[name] or "" for name in names if name in given]


def foreign(addresses: list[str]) -> list[str]:
    """Those of other hosts."""
    return [one for one in addresses if re.match(r"\s*([a-z]+:)?//", one) and not one.startswith("data:")]


def test_the_site_has_every_page_in_its_tree(site: Path) -> None:
    assert len(PAGES) > 60
    assert [page for page in PAGES if not (site / f"{page}.html").is_file()] == []
    tree = (site / "index.html").read_text()
    assert [
        page for page in PAGES if page != "index" and f'class="reference internal" href="{page}.html"' not in tree
    ] == []
    assert (site / "llms.txt").read_text() == (DOCS / "llms.txt").read_text()


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loads = {str(page): Loads(page.read_text()).found for page in site.rglob("*.html")}
    assert min(map(len, loads.values())) > 3
    styles = {
        str(sheet): re.findall(r"""(?:@import|url\()\s*["']?([^"')]+)""", sheet.read_text())
        for sheet in site.rglob("*.css")
    }
    assert {name: foreign(found) for name, found in (loads | styles).items() if foreign(found)} == {}


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://x.example/a.js">',
        '<link rel=stylesheet href="//x.example/a.css">',
        '<img src="http://x.example/a">',
    ],
)
def test_a_foreign_file_is_found(page: str) -> None:
    assert len(foreign(Loads(page).found)) == 1


def test_search_knows_words_of_pages_docstrings_and_help(site: Path) -> None:
    index = json.loads((site / "searchindex.js").read_text().removeprefix("Search.setIndex(").removesuffix(")"))
    assert set(index["docnames"]) == set(PAGES)
    assert {"leas", "heartbeat"} <= set(index["terms"])  # stems


def test_every_public_name_and_every_command_is_in_the_reference(site: Path) -> None:
    names = (site / "reference" / "docstrings.html").read_text()
    public = [
        f"{module.__name__}.{name}" for module in (taskscheduler, taskscheduler_daemon) for name in module.__all__
    ]
    assert [name for name in public if f'id="{name}"' not in names] == []
    assert 'id="taskscheduler.Scheduler.add_job"' in names
    commands = (site / "reference" / "help.html").read_text()
    assert [name for name in COMMANDS if f'id="taskscheduler-{name}"' not in commands] == []
