"""Moments at which managers and workers die."""

from __future__ import annotations

import signal

from tests.faults.cluster import MAX_LOST
from tests.faults.controls import Control
from tests.faults.processes import send
from tests.support.eventually import eventually
from tests.support.nodes import is_running


def killer_of_managers(control: Control, *without: str) -> None:
    """A job kills its manager again and again, beside a long job and before fifty others."""
    control.node("first", *without, min_children=2, max_children=2)
    control.add("nap", 2.0)
    control.add("manager_killer", 0.3, "poisoned")
    control.add_many("nap", [0.02] * 50)
    control.await_end(60.0)


def killed_manager(control: Control, *without: str) -> None:
    """A manager is killed that has not begun all jobs which it has got."""
    node = control.node("first", "suspicion", *without)
    control.add_many("nap", [0.02] * 150)
    eventually(lambda: len(control.seen("start")) > 50, 30, "fifty of them")
    for manager in node.manager:
        send(manager, signal.SIGKILL)
    control.await_end()


def killer_beside_another(control: Control, *without: str) -> None:
    """A job that kills its manager is always beside another one."""
    control.node("first", *without, min_children=2, max_children=2)
    control.add("manager_killer", 0.5, "poisoned")
    control.add("nap", 4.0)
    try:
        control.await_end(25.0 if without else 60.0)
    except AssertionError:
        pass  # for the checker to say


def asked_workers(control: Control, *without: str) -> None:
    """Somebody sends the worker of a job SIGTERM as often as a job may lose its worker."""
    control.node("first", *without)
    job = control.add("nap", 1.5)
    for attempt in range(1, MAX_LOST + 1):
        pid = control.await_start(job, attempt)["pid"]
        send(pid, signal.SIGTERM)
    control.await_end()


def ended_leases(control: Control, *without: str) -> None:
    """A node stands still beyond its lease as often as a job may lose its worker."""
    node = control.node("first", *without)
    job = control.add("nap", 6.0)
    for attempt in range(1, MAX_LOST + 1):
        pid = control.await_start(job, attempt)["pid"]
        control.pause([node.pid])
        eventually(lambda pid=pid: not is_running(pid), 10, "the end of its worker")  # type: ignore[misc]
        control.resume([node.pid])
    control.await_end()
