"""The group of commands: each one has a module, which is imported only when the command is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from taskscheduler_daemon.cli import commands
from taskscheduler_daemon.cli.group import ALIASES, COMMANDS, cli, run

MODULES = {path.stem for path in Path(commands.__file__).parent.glob("*.py")} - {"__init__"}


def test_every_command_has_a_module_of_its_name_and_every_module_a_command() -> None:
    assert {name.replace("-", "_") for name in COMMANDS} == MODULES


@pytest.mark.parametrize("name", COMMANDS)
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


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [80, 120])
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


@pytest.mark.parametrize(
    ("name", "hint"), [("retyr", "did you mean retry?"), ("xyzzy", "No such command 'xyzzy' (see")]
)
def test_a_command_that_does_not_exist(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name]) == 2
    said = capsys.readouterr().err
    assert hint in said
    assert said.count("\n") == 1
