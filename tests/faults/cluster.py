"""Everything that runs in a run: servers behind proxies, nodes, services, producers, programs, those who look on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler import Scheduler
from tests.faults import places, processes, schedules
from tests.faults.history import History, read
from tests.faults.proxy import Proxies
from tests.faults.standing import SERVICES, set_limit, start_service
from tests.faults.witness import Witness
from tests.support.eventually import eventually
from tests.support.nodes import children, descendants, is_running
from tests.support.replicaset import ReplicaSet

DATABASE = "faults"
LEASE = 2.5
MAX_LOST = 5
KILL_GRACE = 0.5
_OPLOG_MB = 16
NODE_OPTIONS: dict[str, Any] = {
    "orphaned_timeout": LEASE,
    "min_children": 2,
    "max_children": 2,
    "max_lost": MAX_LOST,
    "kill_grace": KILL_GRACE,
    "stop_timeout": 3,
}


def exit_code(process: subprocess.Popen[bytes], timeout: float) -> int | None:
    """How a process ended; None if it did not in time."""
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None


class Member:
    """One process of ours that is started again under its name after it was killed."""

    def __init__(self, name: str, history: Path, logs: Path, module: str, *arguments: str) -> None:
        self.name = name
        self._history = history
        self._log = logs / f"{name}.log"
        self._command = (module, *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def manager(self) -> list[int]:
        """The worker manager of a node; none while there is none."""
        return children(self.pid)[:1]

    @property
    def workers(self) -> list[int]:
        """The workers of a node."""
        return [pid for manager in self.manager for pid in children(manager)]

    @property
    def tree(self) -> list[int]:
        """The process and all below it."""
        return [self.pid, *descendants(self.pid)]

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.running:
            return
        with self._log.open("ab") as output:
            self._process = processes.start(*self._command, history=self._history, output=output)

    def kill(self) -> None:
        """SIGKILL to the process alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def ask_to_stop(self) -> subprocess.Popen[bytes] | None:
        """The process that was asked, which another fault may kill and replace in the meantime; None if none runs."""
        if self._process is None or not self.running:
            return None
        self._process.send_signal(signal.SIGTERM)
        return self._process

    def wait(self, timeout: float) -> int | None:
        """The exit code; None if it did not end in time."""
        assert self._process is not None
        return exit_code(self._process, timeout)

    def __repr__(self) -> str:
        return self.name


class Cluster:
    """As a context manager: leaves no process behind, whatever happened."""

    def __init__(self, directory: Path, seed: int, nodes: int = 3, producers: int = 2, rate: float = 46.0) -> None:
        self.history_directory = directory / "history"
        self._logs = directory / "logs"
        self._data = directory / "data"
        for folder in (self.history_directory, self._logs, self._data):
            folder.mkdir(parents=True)
        self.history = History(self.history_directory)
        flags = ["--syncdelay", "1"]  # an oplog is cut at checkpoints only
        self.servers = ReplicaSet(self._data, oplog_mb=_OPLOG_MB, flags=flags, test_commands=True)
        self.proxies = Proxies(self.servers.ports)
        self._seed = seed
        self._counts = (nodes, producers)
        self._rate = rate
        self.nodes: list[Member] = []
        self.producers: list[Member] = []
        self.programs: list[Member] = []
        self.first_times: dict[str, datetime | None] = {}  #: of each schedule
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._stack.enter_context(self.proxies)
        self.servers.advertise([f"127.0.0.1:{self.proxies.ports[port]}" for port in self.servers.ports])
        self._stack.enter_context(self.servers)
        self._stack.callback(processes.kill_all, self.history_directory)
        with self.scheduler() as scheduler:
            assert scheduler.store
        self.witness = self._stack.enter_context(Witness(self.uri("witness"), self.history))
        token = str(self._data / "token")
        self.listener = self._member("listener", "listener", token)
        self.listener.start()
        eventually(self._is_heard, 30, "a listener")
        nodes, producers = self._counts
        for number in range(nodes):
            name = f"node-{number}"
            self.nodes.append(self._member(name, "nodes", json.dumps({"name": name, **NODE_OPTIONS})))
        for number in range(producers):
            seed, rate = str(self._seed * 100 + number), str(self._rate / 2 / producers)  # an add means 2 jobs or so
            self.producers.append(self._member(f"producer-{number}", "producer", seed, rate, str(LEASE)))
            self.programs.append(self._member(f"program-{number}", "program", json.dumps({"seed": seed})))
        self._start_services()
        self._start_schedules()
        self._set_limits()
        for member in (*self.nodes, *self.producers, *self.programs):
            member.start()

    def _start_services(self) -> None:
        with self.scheduler() as scheduler:
            for name in SERVICES:
                job_id = start_service(scheduler, name).id
                self.history.write("add", ids=[job_id], expected="any")
                self.history.write("acked", ids=[job_id])

    def _start_schedules(self) -> None:
        with self.scheduler() as scheduler:
            for name, options in schedules.SCHEDULES.items():
                self.first_times[name] = scheduler.schedules.add(name, "faults.tick", **options).next_at

    def _set_limits(self) -> None:
        with self.scheduler() as scheduler:
            for name, options in places.LIMITS.items():
                set_limit(scheduler, self.history, name, **options)

    def _is_heard(self) -> bool:
        return any(event["what"] == "listening" for event in read(self.history_directory, self.listener.pid))

    def _member(self, name: str, module: str, *arguments: str) -> Member:
        return Member(name, self.history_directory, self._logs, module, self.uri(name), *arguments)

    def uri(self, client: str) -> str:
        """The URI for a client that the proxies know by this name."""
        return self.servers.uri(DATABASE, appname=client)

    def scheduler(self) -> Scheduler:
        """A scheduler of the run itself."""
        return Scheduler(self.uri("kit"), orphaned_timeout=LEASE)

    @contextmanager
    def database(self) -> Iterator[Database[dict[str, Any]]]:
        """The database on a client of its own."""
        client: MongoClient[dict[str, Any]] = MongoClient(
            self.uri("kit"), serverSelectionTimeoutMS=30_000, tz_aware=True
        )
        with client:
            yield client[DATABASE]

    def restore(self) -> None:
        """Whatever a fault has left behind: heal it."""
        self.proxies.heal_all()
        self.signal(self.left_running(), signal.SIGCONT)
        for port in self.servers.ports:
            if self.servers.is_up(port):
                self.servers.resume(port)
            else:
                self.servers.start(port)
        for member in (*self.nodes, *self.producers, *self.programs, self.listener):
            member.start()
        eventually(self._fail_points_off, 30, "no failpoints")

    def _fail_points_off(self) -> bool:
        try:
            for port in self.servers.ports:
                for name in ("failCommand", "stopReplProducer"):
                    self.servers.fail_point(port, name, "off")
        except PyMongoError:
            return False
        return True

    def signal(self, pids: Sequence[int], number: int) -> None:
        """Send a signal to processes of this run; those that are gone are passed over."""
        for pid in pids:
            if is_running(pid):
                processes.send(pid, number)

    def left_running(self) -> list[int]:
        """What still runs of nodes, producers and the listener."""
        return processes.of_run(self.history_directory)
