"""The variables that Kubernetes sets for a service called `taskscheduler` are not taken for options."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from taskscheduler_daemon.cli.group import COMMANDS, cli
from taskscheduler_daemon.cli.input.parameters import PortOption

#: what Kubernetes appends to the name of a service, and the older links of Docker as well
_LINK = re.compile(r"TASKSCHEDULER\w*_(PORT|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+|ENV_\w+)")


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    yield context, command
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        assert isinstance(command, click.Group)
        below = command.get_command(context, name)
        assert below is not None
        yield from commands(below, click.Context(below, parent=context, info_name=name, **below.context_settings))


def test_every_option_with_the_name_of_such_a_variable_knows_it() -> None:
    seen = 0
    for context, command in commands(cli, click.Context(cli, **cli.context_settings)):
        for parameter in command.params:
            names = [parameter.envvar] if isinstance(parameter.envvar, str) else list(parameter.envvar or ())
            names.append(f"{context.auto_envvar_prefix}_{str(parameter.name).upper()}")
            if any(_LINK.fullmatch(name) for name in names):
                assert isinstance(parameter, PortOption), (command.name, parameter.name)
                seen += 1
    assert seen == 3, "the ports of web, and of metrics for node and dev"
    assert len(COMMANDS) > 20


@pytest.mark.parametrize(
    ("given", "port"),
    [
        ({}, 8080),
        ({"TASKSCHEDULER_PORT": "tcp://10.0.0.5:8080"}, 8080),
        ({"TASKSCHEDULER_WEB_PORT": "tcp://10.0.0.5:80"}, 8080),
        ({"TASKSCHEDULER_WEB_PORT": "udp://[fd00::1]:80", "TASKSCHEDULER_PORT": "9000"}, 9000),
        ({"TASKSCHEDULER_WEB_PORT": "SCTP://10.0.0.5:80", "TASKSCHEDULER_PORT": "tcp://10.0.0.5:80"}, 8080),
        ({"TASKSCHEDULER_WEB_PORT": "9001", "TASKSCHEDULER_PORT": "tcp://10.0.0.5:80"}, 9001),
    ],
)
def test_the_port_of_the_web_command(given: dict[str, str], port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASKSCHEDULER_PORT", "TASKSCHEDULER_WEB_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    web = cli.get_command(click.Context(cli), "web")
    assert web is not None
    assert web.make_context("web", [], parent=click.Context(cli, **cli.context_settings)).params["port"] == port


def test_a_port_that_somebody_mistyped_is_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCHEDULER_WEB_PORT", "http")
    web = cli.get_command(click.Context(cli), "web")
    assert web is not None
    with pytest.raises(click.BadParameter):
        web.make_context("web", [], parent=click.Context(cli, **cli.context_settings))
