"""Log files are opened again after a rotation: by a node, its manager, its new workers, and the web process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess, children

from taskscheduler import Scheduler


def goes_to(pid: int, file: Path) -> bool:
    """Whether the standard error of a process goes to this file."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/2"), file.stat())
    except OSError:
        return False


def logs_to(worker: int, file: Path) -> bool:
    """Whether a worker has this file open: its standard error is a pipe, and its handlers write where that went."""
    try:
        opened = [*Path(f"/proc/{worker}/fd").iterdir()]
        return any(os.path.samestat(one.stat(), file.stat()) for one in opened if one.exists())
    except OSError:
        return False


def workers_of(manager: int, log: Path) -> set[int]:
    """The workers, once all of two log to this file."""
    found = children(manager)
    return set(found) if len(found) == 2 and all(logs_to(pid, log) for pid in found) else set()


def test_a_node_its_manager_and_its_workers_open_their_log_again(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    node = start_node(pm="static", min_children=2)
    [manager] = children(node.pid)
    workers = eventually(lambda: workers_of(manager, node.log), 20, "two workers")
    old = node.log.with_suffix(".1")
    for _ in range(2):
        node.log.rename(old)
        node.send(signal.SIGHUP)
        eventually(node.log.exists, 20, "a new log")
        eventually(lambda: goes_to(node.pid, node.log) and goes_to(manager, node.log), 20, "node and manager")
        new = eventually(lambda: workers_of(manager, node.log), 20, "new workers")
        assert not new & workers
        assert "each worker is replaced" in node.log.read_text()
        workers = new
    assert [one for one in (node.pid, manager) if goes_to(one, old)] == []


def test_the_web_process_opens_its_log_again(uri: str, tmp_path: Path) -> None:
    log, old = tmp_path / "web.log", tmp_path / "web.log.1"
    with log.open("w") as output:
        web = commands.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())",
                "web",
                "--port=0",
            ],
            stdout=output,
            stderr=output,
            env={**os.environ, "TASKSCHEDULER_URI": uri},
        )
    try:
        eventually(lambda: web.poll() is not None or "http://" in log.read_text(), 30, "the address")
        log.rename(old)
        web.send_signal(signal.SIGHUP)
        eventually(lambda: goes_to(web.pid, log), 20, "the new log")
        assert web.poll() is None
        web.terminate()
        assert web.wait(20) == 0
    finally:
        web.kill()
        web.wait()
