"""The group of commands: each one has a module, which is imported only when the command is called."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.support.tables import table

from taskscheduler_daemon.cli import commands
from taskscheduler_daemon.cli.group import ALIASES, COMMANDS, GROUPS, cli, run
from taskscheduler_daemon.cli.settings import Settings

MODULES = {path.stem for path in Path(commands.__file__).parent.rglob("*.py")} - {"__init__"}


def test_every_command_has_a_module_of_its_name_and_every_module_a_command() -> None:
    assert {name.replace("-", "_") for name in COMMANDS} == MODULES


@table("name", COMMANDS)
def test_a_command_is_named_like_its_module_and_has_a_help(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert found.name == name
    assert found.help
    assert all(option.help for option in found.params if isinstance(option, click.Option))


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_the_same_command(alias: str) -> None:
    context = click.Context(cli)
    assert cli.get_command(context, alias) is cli.get_command(context, ALIASES[alias])


def test_the_version_of_a_node_in_the_environment_is_no_question_for_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_VERSION", "4f2c")
    assert run(["jobs", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: taskscheduler jobs ")


@table("name", COMMANDS)
@table("columns", [80, 120])
def test_the_help_of_each_command_fits(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Usage: taskscheduler {name} ")
    assert max(map(len, lines)) <= columns
    assert not any(line.endswith("...") for line in lines[1:])


def test_the_help_of_all_commands_imports_none_of_them() -> None:
    program = (
        "import sys\n"
        "from taskscheduler_daemon.cli.group import run\n"
        "run(['--help'])\n"
        "print(*[name for name in sys.modules if name.startswith('taskscheduler_daemon.cli.commands.')], 'pymongo' in "
        "sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    *_, last = ran.stdout.splitlines()
    assert last == "False"


def every_command() -> Iterator[tuple[str, ...]]:
    for name in COMMANDS:
        yield (name,)
        found = cli.get_command(click.Context(cli), name)
        if isinstance(found, click.Group):
            yield from ((name, below) for below in found.commands)


@table("path", [*every_command()])
def test_the_help_of_each_command_ends_with_an_example_that_it_accepts(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("TASKSCHEDULER_")]:
        monkeypatch.delenv(variable)
    assert run([*path, "--help"]) == 0
    text, heading, example = capsys.readouterr().out.partition("\n  Example:\n    ")
    assert heading
    assert "--job-store" in text, "it takes the names of collections, too"
    *_, line = example.strip().split(" | xargs ")
    program, *words = shlex.split(line) + ["6d0ede69"] * (" | xargs " in example)
    assert (program, words[0]) == ("taskscheduler", path[0])
    assert len(path) == 1 or words[1] == path[1]
    found: click.Command | None = cli
    for word in path:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(cli), word)
    assert found is not None
    context = found.make_context(path[-1], words[len(path) :], obj=Settings())
    assert isinstance(found, click.Group) or context.args == []


@table("path", [*every_command()][::5])
def test_the_command_help_shows_the_help_of_each_command(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    expected = capsys.readouterr().out
    assert run(["help", *path]) == 0
    assert capsys.readouterr().out == expected


def test_the_command_help_alone_shows_all_commands_in_their_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    expected = capsys.readouterr().out
    assert run(["help"]) == 0
    assert capsys.readouterr().out == expected
    assert [line for line in expected.splitlines() if line in {f"{group}:" for group in GROUPS}] == [
        f"{group}:" for group in GROUPS
    ]
    assert sum(len(group) for group in GROUPS.values()) == len(COMMANDS)


@table(
    ("arguments", "said"),
    [
        (["service", "strt"], "taskscheduler service: No such command 'strt'; did you mean start? (see"),
        (["node", "stp"], "taskscheduler node: No such command 'stp'; did you mean stop? (see"),
        (["help", "servce"], "taskscheduler: No such command 'servce'; did you mean service? (see"),
        (["help", "add", "x"], "taskscheduler help: taskscheduler add has no commands of its own (see"),
        (["add", "x", "--retyr", "3"], "taskscheduler add: No such option --retyr; did you mean --retry? (see"),
        (["list", "--stauts", "x"], "taskscheduler list: No such option --stauts; did you mean --status? (see"),
        (["--ouput", "json", "list"], "taskscheduler: No such option --ouput; did you mean --output? (see"),
        (["service", "start", "x", "--restrt=x"], "No such option --restrt; did you mean --restart? (see"),
        (["list", "--xyzzy"], "taskscheduler list: No such option --xyzzy (see"),
        (["list", "-x"], "taskscheduler list: No such option -x (see"),
    ],
)
def test_mistyped_words_are_refused_with_the_nearest_one(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "hint"), [("retyr", "did you mean retry?"), ("xyzzy", "No such command 'xyzzy' (see")]
)
def test_a_command_that_does_not_exist(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name]) == 2
    said = capsys.readouterr().err
    assert hint in said
    assert said.count("\n") == 1
