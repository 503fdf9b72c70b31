"""Jobs that log and print, for tests of logs."""

# ruff: noqa: T201 - what jobs print is what is tested

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from taskscheduler import Job, job

quiet = logging.getLogger("aside")
quiet.propagate = False


class Talk(Job):
    """Says something on each way there is."""

    name = "talk"

    def start(self) -> None:
        print("printed")
        self.logger.info("told %s", "something", extra={"order": 42})
        subprocess.run(["sh", "-c", "echo a child; echo its error >&2"], check=True)
        quiet.warning("aside")
        print("to the error", file=sys.stderr)
        thread = threading.Thread(target=print, args=("of a thread",))
        thread.start()
        thread.join()
        os.write(1, b"raw\n")
        self.logger.debug("not heard")


@job(name="say")
def say(text: str, times: int = 1, *, job: Job) -> int:
    for number in range(times):
        job.logger.info("%s %d", text, number)
    return times


@job(name="print_lines")
def print_lines(text: str, times: int = 1) -> None:
    for number in range(times):
        print(text, number)


@job(name="say_slowly")
def say_slowly(times: int, *, job: Job) -> None:
    """Its log is stored in several parts."""
    for number in range(times):
        threading.Event().wait(0.3)
        print("printed", number)
        job.logger.info("logged %d", number)


@job(name="print_blocks")
def print_blocks(count: int, until: str = os.devnull + "/never") -> None:
    """64,000 bytes each."""
    block = (b"x" * 99 + b"\n") * 640
    for _ in range(count):
        os.write(1, block)
        if os.path.exists(until):
            break
    print("the last line")


@job(name="silent")
def silent() -> str:
    return "nothing said"


@job(name="die_talking")
def die_talking() -> None:
    print("a whole line")
    sys.stdout.write("half a li")
    os.kill(os.getpid(), signal.SIGKILL)


@job(name="print_bytes")
def print_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)


@job(name="say_async")
async def say_async(text: str, times: int = 3, *, job: Job) -> None:
    for number in range(times):
        print(text, number)
        job.logger.info("%s logs %d", text, number)
        await asyncio.sleep(0.01)
    await asyncio.to_thread(print, text, "in a thread")


@job(name="say_each", batch=100, batch_wait=0.3)
def say_each(items: list[Any], *, job: Job) -> None:
    print("together", len(items))
    for item in items:
        job.logger.info("item %s", item)


@job(name="fail_talking")
def fail_talking(*, job: Job) -> None:
    print("attempt", job.attempt)
    raise ValueError("as expected")


@job(name="hold")
def hold(path: str) -> None:
    while not os.path.exists(path):
        threading.Event().wait(0.05)


@job(name="print_until_told")
def print_until_told(path: str) -> None:
    number = 0
    while not os.path.exists(path):
        print("tick", number, flush=True)
        number += 1
        threading.Event().wait(0.05)
