"""What a worker tells of its whole life, in a process of its own."""

from __future__ import annotations

import sys

from tests.support import commands

_WHOLE_LIFE = """
import bson
from bson import ObjectId
from taskscheduler import Job
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.worker.worker import Worker

class Quiet(Job):
    name = "quiet"
    def start(self):
        print("start")

manager, end = packets.pair()
worker = Worker(ObjectId())
for event in ("started", "fetched", "executed", "finished"):
    worker.on(event, lambda event, worker, job: print(event, job.job if job else None))
body = bson.encode({"_id": ObjectId(), "class": "quiet", "data": None, "attempt": 1})
packets.send(manager, Run(bytes(12), 1, 0, 0, body).encode())
manager.shutdown(1)
worker.process_all(end, SharedPage(), 0.5, 1000)
"""


def test_a_worker_tells_of_its_whole_life() -> None:
    ran = commands.run([sys.executable, "-c", _WHOLE_LIFE], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.splitlines() == ["started None", "fetched quiet", "start", "executed quiet", "finished None"]
