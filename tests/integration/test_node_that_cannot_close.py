"""A node whose parts cannot be closed ends all the same, with an error, and leaves nothing running."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess, is_running
from tests.support.tables import rarely

from taskscheduler import Scheduler

StartNode = Callable[..., NodeProcess]

_PARTS = [
    "taskscheduler_daemon.node.completion.completer.Completer.stop",
    "taskscheduler_daemon.ipc.link.Link.close",
    "taskscheduler.connection.Connection.disconnect",
]

_OTHER_PARTS = [
    "taskscheduler_daemon.node.claiming.claimer.Claimer.stop",
    "taskscheduler_daemon.node.wakeups.WakeupListener.stop",
    "taskscheduler_daemon.node.maintenance.maintainer.Maintainer.stop",
    "taskscheduler_daemon.node.heartbeat.Heartbeat.stop",
    "taskscheduler_daemon.system.signal_pipe.SignalPipe.close",
    "taskscheduler.scheduler.Scheduler.close",
]


def breaking(part: str) -> str:
    """The statements that make a method raise."""
    module, cls, method = part.rsplit(".", 2)
    return f"""
import {module}
def fail(*_):
    raise RuntimeError("no {method}")
{module}.{cls}.{method} = fail
"""


@pytest.mark.parametrize("part", [*_PARTS, *rarely(*_OTHER_PARTS)])
def test_it_ends(scheduler: Scheduler, start_node: StartNode, part: str) -> None:
    node = start_node(late=breaking(part))
    assert scheduler.add_job("echo", 1).result(timeout=20)
    below = node.tree()
    node.send(signal.SIGTERM)
    assert node.process.wait(20) == 1
    eventually(lambda: not any(is_running(pid) for pid in below), 20, "nothing left")
    assert "the node could not close" in node.log.read_text()


def test_it_ends_although_its_session_was_only_to_be_replaced(scheduler: Scheduler, start_node: StartNode) -> None:
    """The node would go on with a new session, beside what is left of the old one."""
    node = start_node(late=breaking("taskscheduler_daemon.node.maintenance.maintainer.Maintainer.stop"))
    process = scheduler.add_job("wait", {"seconds": 1000})
    eventually(lambda: process.refresh().status.name == "PROCESSING")
    os.kill(node.manager, signal.SIGKILL)
    assert node.process.wait(20) == 1
    assert process.refresh().status.name in ("WAITING", "POSTPONED")
