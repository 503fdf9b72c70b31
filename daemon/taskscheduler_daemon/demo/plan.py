"""The jobs that the demo adds, with their data and options, and what each of them shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.demo import jobs
from taskscheduler_daemon.demo.environment import Environment
from taskscheduler_daemon.demo.fake_servers import HOST

MAILS = 2
CLEAN_EVERY = 5  #: seconds
CANCEL_AT = 25.0  #: percent at which PackLogs is cancelled
TIMEOUT = 2  #: seconds that StretchKey gets

_MB = 1_000_000
_FILE_MB = 96
_LOG_MB = 24
_ORDERS = 150_000
_PRIMES_BELOW = 250_000_000
_MAX_AGE = 8  #: seconds that a file stays in the inbox

#: what a job of this name shows until it reports progress
ABOUT = {
    "CopyFile": f"copies {_FILE_MB} MB, compares checksums",
    "SendMail": "delivers over SMTP",
    "Download": "retry=2; the server is busy at first",
    "ImportOrders": "adds two children, waits for them",
    "AddUp": "a child: adds up its part",
    "count_primes": "a plain function with @job",
    "SurviveKill": "its worker dies of SIGKILL",
    "ParseReport": "retry=1, but the file is broken",
    "StretchKey": f"timeout={TIMEOUT}, but takes an hour",
    "PackLogs": f"is cancelled at {CANCEL_AT:.0f} %",
    "report_sizes": "at=8 s from now",
    "CleanTemp": f"add_job_once, interval={CLEAN_EVERY}",
    "WatchDirectory": "force_spawn: in its own worker",
}
RECURRING = "CleanTemp"
ENDLESS = "WatchDirectory"


class _Entry(NamedTuple):
    job: Any
    data: dict[str, Any]
    options: dict[str, Any]
    add: str = "add_job"


def prepare(environment: Environment) -> None:
    """Writes the files that the jobs work on."""
    for name, size in (("source.bin", _FILE_MB), ("logs.bin", _LOG_MB)):
        with (environment.directory / name).open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(_MB))
    lines = (f"{number:010d},{number * 7919 % 100_000:08d}\n" for number in range(_ORDERS))
    (environment.directory / "orders.csv").write_text("number,cents\n" + "".join(lines))
    (environment.directory / "report.json").write_text('{"title": "Sales", "rows": [1, 2, ')


def add_all(scheduler: Scheduler, environment: Environment, is_ending: Callable[[], bool]) -> list[Process]:
    """Adds all jobs of the demo, until `is_ending()`."""
    added: list[Process] = []
    for entry in _entries(environment):
        if is_ending():
            break
        add = getattr(scheduler, entry.add)
        process: Process = add(entry.job, entry.data, entry.options)
        if process not in added:  # the second add_job_once gives the job of the first
            added.append(process)
    return added


def _entries(environment: Environment) -> Iterator[_Entry]:
    def path(name: str) -> str:
        return str(environment.directory / name)

    source = path("source.bin")
    smtp, web = {"host": HOST, "port": environment.smtp_port}, {"host": HOST, "port": environment.http_port}
    yield _Entry(jobs.WatchDirectory, {"directory": str(environment.inbox)}, {"force_spawn": True})
    yield _Entry(jobs.CopyFile, {"source": source, "target": path("copy.bin")}, {"priority": 1})
    for number in range(MAILS):
        yield _Entry(jobs.SendMail, {**smtp, "to": f"user{number + 1}@example.org", "subject": "Hello"}, {})
    download = {**web, "path": "/data.bin", "target": path("download.bin")}
    yield _Entry(jobs.Download, download, {"retry": 2, "retry_interval": 2})
    yield _Entry(jobs.ImportOrders, {"file": path("orders.csv"), "parts": 2}, {})
    yield _Entry(jobs.ParseReport, {"file": path("report.json")}, {"retry": 1, "retry_interval": 1})
    yield _Entry(jobs.SurviveKill, {"file": source}, {})
    yield _Entry(jobs.StretchKey, {}, {"timeout": TIMEOUT})
    yield _Entry(jobs.PackLogs, {"source": path("logs.bin"), "target": path("packed.xz")}, {})
    yield _Entry(jobs.count_primes, {"below": _PRIMES_BELOW}, {})
    sizes = {"directory": str(environment.directory), "target": path("sizes.txt")}
    yield _Entry(jobs.report_sizes, sizes, {"at": timedelta(seconds=8)})
    clean = {"directory": str(environment.inbox), "max_age": _MAX_AGE}
    for _ in range(2):  # the second call adds nothing
        yield _Entry(jobs.CleanTemp, clean, {"interval": CLEAN_EVERY, "ignore_data": True}, "add_job_once")


def is_one_off(process: Process) -> bool:
    """Returns whether a job ends by itself and does not run again."""
    return process.job not in (RECURRING, ENDLESS)


def proofs(environment: Environment) -> list[str]:
    """Returns what the jobs have really left behind, checked here and not taken from their reports."""
    mails = [mail.read_bytes() for mail in environment.mails.glob("*.eml")]
    arrived = sum(b"\r\nSubject: Hello\r\n" in mail for mail in mails)
    source, copy = environment.directory / "source.bin", environment.directory / "copy.bin"
    same = copy.exists() and _same(source, copy)
    return [
        f"mail: {arrived} of {MAILS} arrived at the SMTP server",
        f"copy: {source.stat().st_size // _MB} MB, {'identical' if same else 'DIFFERENT'}",
    ]


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(_MB):
            if second.read(_MB) != chunk:
                return False
        return not second.read(1)
