"""Jobs that write to the socket of their worker themselves."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import bson

from taskscheduler import Job
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Kind, Report
from taskscheduler_daemon.worker.worker import Worker


def worker() -> Worker:
    return next(one for one in gc.get_objects() if isinstance(one, Worker))


def its_socket() -> socket.socket:
    return worker()._inbox


def wait() -> NoReturn:
    while True:
        threading.Event().wait(1)


class WritesGarbage(Job):
    """Writes what the data names, and goes on."""

    name = "writes_garbage"

    def start(self) -> None:
        end = its_socket()
        report = Report(Kind.REPORT, Ending.SUCCEEDED, self.id.binary, self.attempt, worker().id.binary, 0.0, b"")
        reader, _ = os.pipe()
        actions: dict[str, Callable[[], object]] = {
            "noise": lambda: end.send(os.urandom(100)),
            "kind": lambda: end.send(bytes([Kind.STOPPED])),
            "descriptor": lambda: socket.send_fds(end, [b"\0"], [reader]),
            "many": lambda: socket.send_fds(end, [b"\0"], [reader] * 100),
            "zero": lambda: socket.send_fds(end, [b"\0"], [os.open("/dev/zero", os.O_RDONLY)]),
            "huge": lambda: packets.send(end, bytes([Kind.REPORT]) + bytes(8 << 20)),
            "worker": lambda: packets.send(end, report._replace(worker=bytes(12)).encode()),
            "nan": lambda: packets.send(end, report._replace(seconds=float("nan")).encode()),
            "large": lambda: packets.send(
                end, report._replace(body=bson.encode({"result": "x" * ((1 << 20) + 1)})).encode()
            ),
        }
        actions[self.data]()
        wait()


class SpeaksFor(Job):
    """Reports progress and the end of the job whose id is in the data."""

    name = "speaks_for"

    def start(self) -> str:
        end, mine = its_socket(), worker().id.binary
        said = bson.encode({"id": self.data, "attempt": 1, "progress": 90.0, "message": "forged"})
        packets.send(end, Report(Kind.PROGRESS, Ending.SUCCEEDED, self.data.binary, 1, mine, 0.0, said).encode())
        result = bson.encode({"result": "forged"})
        packets.send(end, Report(Kind.REPORT, Ending.SUCCEEDED, self.data.binary, 1, mine, 0.0, result).encode())
        return "spoke"


class ForgesReport(Job):
    """Reports its own end with the content in the data."""

    name = "forges_report"

    def start(self) -> Any:
        report = Report(Kind.REPORT, Ending.SUCCEEDED, self.id.binary, self.attempt, worker().id.binary, 0.0, b"")
        packets.send(its_socket(), report._replace(body=bson.encode(self.data)).encode())
