"""The peers: what to install, a module that is both their application and the producer, and how two workers start."""

from __future__ import annotations

from dataclasses import dataclass

_HEAD = """
import os, sys, time
from stamps import stamp

URL = os.environ["REDIS_URL"]
"""
_ADD = """
if __name__ == "__main__":
    import bench_app  # the names under which workers know the job
    begun = time.monotonic()
    bench_app.add(int(sys.argv[1]))
    print(time.monotonic() - begun)
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them."""

    packages: tuple[str, ...]
    command: tuple[str, ...]
    body: str
    jobs: int  #: about a second or more of work

    @property
    def source(self) -> str:
        return _HEAD + self.body + _ADD


_TASKIQ = """
import asyncio
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(URL)

@broker.task
async def noop():
    stamp()

def add(count):
    async def go():
        await broker.startup()
        for _ in range(count):
            await noop.kiq()
        await broker.shutdown()
    asyncio.run(go())
"""

_HUEY = """
from huey import RedisHuey

huey = RedisHuey("bench", url=URL)

@huey.task()
def noop():
    stamp()

def add(count):
    for _ in range(count):
        noop()
"""

_DRAMATIQ = """
import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=URL))

@dramatiq.actor
def noop():
    stamp()

def add(count):
    for _ in range(count):
        noop.send()
"""

_CELERY = """
from celery import Celery

app = Celery("bench_app", broker=URL)

@app.task(name="noop")
def noop():
    stamp()

def add(count):
    for _ in range(count):
        noop.delay()
"""

_RQ = """
from redis import Redis
from rq import Queue

def noop():
    stamp()

def add(count):
    queue = Queue("bench", connection=Redis.from_url(URL))
    for _ in range(count):
        queue.enqueue(noop)
"""

PEERS: dict[str, Peer] = {
    "taskiq": Peer(
        ("taskiq", "taskiq-redis"), ("taskiq", "worker", "--workers", "2", "bench_app:broker"), _TASKIQ, 20_000
    ),
    "huey": Peer(("huey", "redis"), ("huey_consumer", "bench_app.huey", "-w", "2", "-k", "process"), _HUEY, 20_000),
    "dramatiq": Peer(("dramatiq[redis]",), ("dramatiq", "bench_app", "-p", "2"), _DRAMATIQ, 20_000),
    "celery": Peer(("celery[redis]",), ("celery", "-A", "bench_app", "worker", "-c", "2"), _CELERY, 10_000),
    "rq": Peer(
        ("rq",),
        ("sh", "-c", 'rq worker --url "$REDIS_URL" bench & rq worker --url "$REDIS_URL" bench & wait'),
        _RQ,
        1_000,
    ),
}
