"""Starts and stops a queue node in the background, for other programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.clock import Deadline
from taskscheduler.connection import URI_VARIABLE
from taskscheduler.errors import InvalidOptionError, SchedulerError, WaitTimeoutError
from taskscheduler_daemon.system.kill import kill
from taskscheduler_daemon.system.pidfile import IN_USE, LOOK_EVERY, Pidfile

_NODE = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"

_OTHERS_START_WITHIN = 10.0  #: seconds for which a pidfile may be in use without a process that it names


def start_node(
    pidfile: str | os.PathLike[str],
    uri: str | None = None,
    log_file: str | os.PathLike[str] | None = None,
    embedded: bool = False,
    **options: Any,
) -> bool:
    """Starts a queue node in the background: True when it is ready, False if the one of this pidfile runs already.

    Of several callers at once, one starts it, and the others get False as soon as its process runs. Options as for
    QueueNode. `uri`: default is TASKSCHEDULER_URI; `embedded`: the embedded server instead. InvalidOptionError without
    either, SchedulerError with the message of the node if it cannot start. Safe to call from a program with threads.
    """
    environment = {**os.environ, **({URI_VARIABLE: uri} if uri is not None else {})}
    if not embedded and not environment.get(URI_VARIABLE):
        raise InvalidOptionError(f"start_node needs a database: give uri, set {URI_VARIABLE}, or give embedded=True")
    file, deadline = Pidfile(pidfile), Deadline(_OTHERS_START_WITHIN)
    command = [sys.executable, "-c", _NODE, "node", "--daemonize", "--pidfile", os.fspath(pidfile)]
    if log_file is not None:
        command += ["--log-file", os.fspath(log_file)]
    command += ["--embedded"] if embedded else []
    command += _arguments(options)
    while file.owner() is None:
        refusal = _refusal(command, environment)
        if refusal is None:
            return True
        if IN_USE not in refusal or (deadline.passed and file.owner() is None):
            raise SchedulerError(f"the node was not started: {refusal}")
        deadline.pause(LOOK_EVERY)  # somebody else starts it, and its process is not named yet or has failed
    return False


def _refusal(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Runs the command that starts a node; returns why it failed, or None."""
    ran = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ran.returncode == 0:
        return None
    return ran.stderr.strip().removeprefix("taskscheduler: ") or f"exit code {ran.returncode}"


def _arguments(options: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        if not re.fullmatch("[a-z_]+", name):
            raise InvalidOptionError(f"invalid option {name} given")
        option = "--queue" if name == "queues" else "--" + name.replace("_", "-")
        several = isinstance(value, Sequence) and not isinstance(value, str)
        for one in value if several else [value]:
            arguments += [f"{option}={one}"]
    return arguments


def stop_node(pidfile: str | os.PathLike[str], timeout: float = 30.0) -> bool:
    """Stops the node of this pidfile: True when it has ended, False if none runs; removes a stale file.

    Running jobs may finish, within the `stop_timeout` of the node. WaitTimeoutError if it has not ended within
    `timeout` seconds.
    """
    file, deadline = Pidfile(pidfile), Deadline(timeout)
    owner = file.owner()
    if owner is None:
        file.remove_stale()
        return False
    kill(owner, signal.SIGTERM)
    while file.owner() == owner:
        if deadline.passed:
            raise WaitTimeoutError(f"node {owner} has not ended within {timeout:g} seconds")
        deadline.pause(LOOK_EVERY)
    file.remove_stale()
    return True
