"""README and documentation: links, index, code, names of tests; the reference against command and public classes."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import re
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.support.llms import FILE, llms_text
from tests.support.pages import DOCS, ROOT, blocks, wrong_names

import taskscheduler
import taskscheduler_daemon
from taskscheduler import InvalidOptionError, Job, Scheduler, SchedulerError, Service
from taskscheduler_daemon import QueueNode
from taskscheduler_daemon.cli import main

README = ROOT / "README.md"
#: two tests still read pages at the place that they had; a link leads from there
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
NOWHERE = "mongodb://127.0.0.1:1/app"
MOST_LINES = 140
OF_THE_COMMAND = {"--embedded", "--pidfile", "--daemonize", "--log-file"}  #: options of `taskscheduler node` alone

_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_TEST = re.compile(r"\btest_\w+(?:\.py)?")

a_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", text)


def anchors(text: str) -> set[str]:
    """The anchors of all headings of a page, as GitHub makes them."""
    found: dict[str, int] = {}
    slugs = []
    for heading in re.findall(r"^#+ +(.+?) *$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        slugs.append(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return set(slugs)


def links(text: str) -> list[str]:
    """The relative links of a page."""
    return [link for link in _LINK.findall(prose(text)) if not re.match(r"[a-z]+:", link)]


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of a page that lead nowhere, or to a heading that is not there."""
    broken = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        there = text if target == page else target.read_text() if target.suffix == ".md" and target.exists() else ""
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(there)):
            broken.append(link)
    return broken


def linked(page: Path, text: str) -> set[Path]:
    """The files to which links of a page lead."""
    return {(page.parent / link.partition("#")[0]).resolve() for link in links(text) if not link.startswith("#")}


@cache
def names_of_tests() -> set[str]:
    """The functions and files of all tests."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    functions = (name for path in files for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.M))
    return {*functions, *(path.name for path in files)}


def unknown_tests(text: str) -> list[str]:
    """The tests and paths below `tests/` that a page names and that do not exist."""
    spans = _SPAN.findall(prose(text))
    named = [name for span in spans for name in _TEST.findall(span)]
    paths = [span for span in spans if re.fullmatch(r"tests/[\w./-]*", span)]
    return [name for name in named if name not in names_of_tests()] + [
        path for path in paths if not (ROOT / path).exists()
    ]


def section(text: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found.group(1)


def first_column(text: str) -> list[str]:
    """The code spans in the first column of all tables; a bar in a span is written as `\\|`."""
    rows = [line for line in prose(text).splitlines() if line.startswith("| ")]
    return [span for row in rows for span in _SPAN.findall(re.split(r"(?<!\\)\|", row)[1])]


def reference(page: str, heading: str) -> set[str]:
    """The names in the first column of a section of a reference page."""
    return set(first_column(section((DOCS / "reference" / page).read_text(), heading)))


@cache
def help_of(*command: str) -> str:
    """What the command says about itself."""
    said = io.StringIO()
    with redirect_stdout(said):
        assert main([*command, "--help"]) == 0
    return said.getvalue()


def flags(*command: str) -> set[str]:
    """The options of a command, without those that all commands have."""
    common = {"--uri", "--output", "--no-color", "--verbose", "--help", *([] if command else ["--version"])}
    return set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", help_of(*command), re.MULTILINE)) - common


def subcommands(*command: str) -> set[str]:
    """The commands of a group."""
    _, _, listed = help_of(*command).partition("\nOptions:\n")
    return set(re.findall(r"^  ([a-z][a-z-]*)(?:  |$)", listed, re.MULTILINE))


def all_commands() -> Iterator[str]:
    for name in subcommands():
        yield name
        for below in subcommands(name):
            yield f"{name} {below}"


def documented_commands(text: str) -> set[str]:
    """The commands in the first column of the command-line reference, without arguments and options."""
    plain = (re.split(r" +[^a-z -]| --| \.", span, maxsplit=1)[0].strip() for span in first_column(text))
    return {" ".join(word for word in name.split() if re.fullmatch(r"[a-z][a-z-]*", word)) for name in plain}


def is_unknown(error: SchedulerError, name: str) -> bool:
    return f"invalid option {name} given" in str(error)


# -- all pages ---------------------------------------------------------------------------------------------------------


@a_page
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["[no page](none.md)", "[no heading](#none)", "[not there](README.md#none)", "[beyond](../x.md)", "`a` [b `c`](d)"],
)
def test_a_broken_link_is_found(text: str) -> None:
    assert len(broken_links(README, f"# Here\n\n[here](#here) {text}\n")) == 1


def test_the_index_has_every_page_and_the_readme_has_the_index() -> None:
    index = DOCS / "index.md"
    assert set(PAGES) - linked(index, index.read_text()) == {README, index}
    assert index in linked(README, README.read_text())


@a_page
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks(page.read_text()):
        if block.language == "python":
            ast.parse(block.text)


@a_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    assert unknown_tests(page.read_text()) == []


@pytest.mark.parametrize("text", ["| x | `test_that_nobody_wrote` |", "`test_none.py`", "`tests/none/test_solo.py`"])
def test_a_test_that_does_not_exist_is_found(text: str) -> None:
    assert len(unknown_tests(text)) == 1


def test_each_promise_names_a_test_or_the_soak() -> None:
    promises = section((DOCS / "explanation" / "guarantees.md").read_text(), "The promises, one by one")
    rows = [line for line in promises.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    assert [row for row in rows if not re.search(r"`test_\w+`|tests\.faults", row)] == []


def test_the_list_for_language_models_is_that_of_the_index() -> None:
    made = llms_text((DOCS / "index.md").read_text())
    assert FILE.read_text() == made, "run python -m tests.support.llms"
    listed = {(DOCS / link).resolve() for link in links(made)}
    assert listed == set(PAGES) - {README, DOCS / "index.md"}


def test_changes_image_and_chart_have_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    places = {
        DOCS / "reference" / "changelog.md": r"^## ([\d.]+)$",
        ROOT / "Dockerfile": r"^ARG VERSION=(.+)$",
        ROOT / "daemon" / "deploy" / "helm" / "taskscheduler" / "Chart.yaml": r'^(?:appV|v)ersion: "?([\d.]+)',
    }
    found = {path.name: re.findall(pattern, path.read_text(), re.MULTILINE) for path, pattern in places.items()}
    found["changelog.md"] = found["changelog.md"][:1]
    assert {one for versions in found.values() for one in versions} == {version}
    assert [name for name, versions in found.items() if not versions] == []


# -- README ------------------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MOST_LINES


def test_the_readme_begins_with_the_promise_of_the_guarantees() -> None:
    promise = README.read_text().split("\n\n")[1]
    quoted = (DOCS / "explanation" / "guarantees.md").read_text().split("\n\n")[1]
    assert promise.startswith("Every job whose `add_job` returned is run at least once and finished exactly once")
    assert promise.split() == re.sub(r"^> ", "", quoted, flags=re.MULTILINE).split()


@pytest.mark.parametrize("command", [".venv/bin/taskscheduler demo", ".venv/bin/pytest -n 8 --dist loadfile"])
def test_the_two_commands_stand_alone(command: str) -> None:
    alone = [block.text for block in blocks(README.read_text()) if block.text.endswith(f"{command}\n")]
    assert len(alone) == 1
    assert re.fullmatch(r"sh tests/setup\.sh( test)? && .*\n", alone[0])


def test_the_pictures_of_the_readme_are_there_and_small() -> None:
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', README.read_text())
    assert len(pictures) == 2
    assert [name for name in pictures if (ROOT / name).stat().st_size > 200_000] == []


def test_the_readme_compares_with_the_systems_whose_sources_are_named() -> None:
    table = section(README.read_text(), "Beside others")
    compared = [cell.strip().split()[0] for cell in table.strip().splitlines()[0].strip("|").split("|")[2:]]
    sources = section((DOCS / "explanation" / "alternatives.md").read_text(), "Where it is from")
    assert re.findall(r"^\| ([A-Z]\w+) \|", sources, re.MULTILINE) == compared


def test_every_name_in_the_readme_exists() -> None:
    assert wrong_names(README.read_text()) == []


# -- reference ---------------------------------------------------------------------------------------------------------


def test_the_commands_are_those_of_the_command_line() -> None:
    text = section((DOCS / "reference" / "command-line.md").read_text(), "Commands")
    assert documented_commands(text) == set(all_commands())


def test_a_command_is_told_from_its_arguments() -> None:
    table = "| command |\n| `list --order date\\|queue` |\n| `service stop NAME…` |\n| `exec [--solo] -- COMMAND` |\n"
    assert documented_commands(table) == {"list", "service stop", "exec"}


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    table = section((DOCS / "reference" / "command-line.md").read_text(), "Exit codes")
    said = " ".join(help_of().partition("Exit codes:")[2].partition("Options:")[0].split())
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == re.findall(r"(?:^|, )(\d+) ", said)


def test_the_node_options_are_those_of_the_command() -> None:
    options = reference("options.md", "Node options")
    assert options == flags("node")
    assert options - OF_THE_COMMAND == flags("dev") - {"--reload"}


@pytest.mark.parametrize("option", sorted(reference("options.md", "Node options") - OF_THE_COMMAND))
def test_a_node_option_is_a_keyword_of_the_node(option: str) -> None:
    name = {"--queue": "queues"}.get(option, option.removeprefix("--").replace("-", "_"))
    options: dict[str, Any] = {name: object()}
    with pytest.raises(InvalidOptionError) as caught:
        QueueNode(Scheduler(NOWHERE), **options)
    assert not is_unknown(caught.value, name)


@pytest.mark.parametrize("name", sorted(reference("options.md", "Job options")))
def test_a_job_option_exists(name: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        Scheduler(NOWHERE).with_options({name: object()})
    assert not is_unknown(caught.value, name)


def test_the_job_options_are_all_there_are(scheduler: Scheduler) -> None:
    """Those that are stored with a job, and those that the command line takes."""
    stored = set(scheduler.add_job("any").options)
    beside = {"--jobs", "--once", "--wait", "--wait-timeout", "--reason"}
    renamed = {"--tag": "tags", "--limit": "limits", "--solo-key": "solo"}
    taken = {renamed.get(flag, flag.removeprefix("--").replace("-", "_")) for flag in flags("add") - beside}
    assert reference("options.md", "Job options") == stored | taken


def test_the_scheduler_options_are_those_of_the_scheduler() -> None:
    scheduler = Scheduler(NOWHERE)
    known = {field.name for field in dataclasses.fields(scheduler.options)}
    known = {name for name in known if _takes(scheduler, name)}
    assert reference("options.md", "Scheduler options") == known


def _takes(scheduler: Scheduler, name: str) -> bool:
    try:
        scheduler.set_options({name: object()})
    except InvalidOptionError as error:
        return not is_unknown(error, name)
    return True


def test_the_service_options_are_those_of_a_service(scheduler: Scheduler) -> None:
    class Any(Service):
        def start(self) -> None: ...

    with pytest.raises(InvalidOptionError, match="a service takes") as caught:
        scheduler.start_service(Any, unknown=1)
    known = str(caught.value).partition("a service takes ")[2].split(", ")
    assert reference("options.md", "Service options") == set(known)


def test_the_statuses_and_events_are_those_of_a_scheduler() -> None:
    assert reference("events.md", "Statuses") == {status.name for status in taskscheduler.Status}
    with pytest.raises(SchedulerError, match="the events are ") as caught:
        Scheduler(NOWHERE).on("no such event", print)
    known = str(caught.value).partition("the events are ")[2].split(", ")
    assert reference("events.md", "Events") == set(known)


def test_the_api_page_has_all_public_names() -> None:
    text = (DOCS / "reference" / "api.md").read_text()
    words = set(re.findall(r"\w+", text))
    assert {*taskscheduler.__all__, *taskscheduler_daemon.__all__} - words == set()


def test_every_name_of_the_api_page_exists(scheduler: Scheduler) -> None:
    owners: dict[str, Any] = {"Scheduler": scheduler, "Process": scheduler.add_job("any"), "Job and Service": Service}
    for heading, owner in owners.items():
        names = reference("api.md", heading)
        declared = {name for cls in getattr(owner, "__mro__", ()) for name in inspect.get_annotations(cls)}
        assert len(names) > 5
        assert {name for name in names if not hasattr(owner, name)} - declared == set()


def test_every_method_of_a_job_is_on_the_api_page() -> None:
    public = {name for cls in (Job, Service) for name in vars(cls) if not name.startswith("_")}
    assert public - reference("api.md", "Job and Service") == set()


SOURCES = [ROOT / "scheduler" / "taskscheduler", ROOT / "daemon" / "taskscheduler_daemon", ROOT / "tests", ROOT, DOCS]


@pytest.mark.parametrize("page", [DOCS / "explanation" / "architecture.md", DOCS / "how-to" / "contribute.md"])
def test_files_and_folders_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.py))`", page.read_text())
    assert len(named) > 20
    assert [name for name in named if not any((source / name).exists() for source in SOURCES)] == []
