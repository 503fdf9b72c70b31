"""Runs the examples of a page that show a part of a program, with the rest of that program around them.

A thread of the same process runs the jobs that the examples add. The module of the examples is `myapp`.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import CO_COROUTINE
from types import CodeType, ModuleType
from typing import Any

from taskscheduler import Scheduler
from taskscheduler.testing import InlineNode
from tests.support.pages import DOCS, script

_IMPORTS = """
import asyncio
from datetime import timedelta
from taskscheduler import AsyncScheduler, Job, Scheduler, Service, Status, call, job
from taskscheduler_daemon import Worker, WorkerManager

scheduler = Scheduler()
"""

_MAILS = """
class MailJob(Job):
    def start(self): return "sent"
class Mail(MailJob): ...
class CleanTemp(MailJob): ...
@job
def resize(name: str, width: int = 100) -> str: return name
names = ["a.png", "b.png"]
process = scheduler.add_job(MailJob)
one, two = {"to": "a"}, {"to": "b"}
def handler(event, process): ...
other = alert = handler
def callback(process): return True
"""

#: what stands before the examples of a page
AROUND = {
    "explanation/guarantees": "",
    "how-to/access": "open('users.json', 'x').close()\nimport os\nos.chmod('users.json', 0o600)\n",
    "how-to/add-jobs": _MAILS + "data = one\n",
    "how-to/async-jobs": _MAILS,
    "how-to/audit": "",
    "how-to/call-like-functions": """
from dataclasses import dataclass
names = []
@dataclass
class ResizeData:
    width: int
""",
    "how-to/dead-letters": "",
    "how-to/fastapi": "",
    "how-to/logs": _MAILS,
    "how-to/operate": "open('myapp.py', 'x').close()\n",
    "how-to/schedules": "",
    "how-to/services": "def fetch(url): ...\ndef measure(question): return 21\n",
    "how-to/solo-and-programs": "@job(name='report')\ndef report(data): ...\n",
    "how-to/test-jobs": _MAILS
    + """
import os
from taskscheduler import testing
testing.fresh_scheduler = testing.FreshDatabases(os.environ["TASKSCHEDULER_URI"]).scheduler
""",
    "how-to/wait-and-listen": _MAILS
    + """
import threading
one, two = scheduler.add_jobs([MailJob, MailJob])
def add_more():
    with Scheduler() as more:
        while not threading.Event().wait(0.2):
            more.add_job(MailJob)
threading.Thread(target=add_more, daemon=True).start()
""",
    "how-to/watch": "",
    "how-to/write-jobs": _MAILS
    + """
import taskscheduler_daemon
class Other(MailJob): ...
class QueueNode(taskscheduler_daemon.QueueNode):
    def process(self): ...
""",
}

_FOR_TYPE_CHECKERS = re.compile(r"^```python\n(?:(?!```).*\n)*?.*# error:(?:.*\n)*?```$", re.MULTILINE)


def run(page: str) -> None:
    """Runs the examples of a page, but for blocks with an `# error:`, which type checkers are to find."""
    module = sys.modules["myapp"] = ModuleType("myapp")
    text = _FOR_TYPE_CHECKERS.sub("", (DOCS / f"{page}.md").read_text())
    text = script(text).replace("mongodb://host/app", os.environ["TASKSCHEDULER_URI"])
    with Scheduler() as scheduler, jobs_run(scheduler):
        for part in (_IMPORTS, AROUND[page], text):
            execute(compile(part, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True), vars(module))


def execute(code: CodeType, names: dict[str, Any]) -> None:
    """Executes code that may await at its top level."""
    running = eval(code, names)  # noqa: S307 - our own pages
    if code.co_flags & CO_COROUTINE:
        asyncio.run(running)


@contextmanager
def jobs_run(scheduler: Scheduler) -> Iterator[None]:
    """Runs jobs in a thread as they come due."""
    over = threading.Event()

    def work() -> None:
        with InlineNode(scheduler) as node:
            while not over.wait(0.05):
                node.run_due()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
