"""The sample jobs of the demo: real work on files, mails and connections, and real ways to fail."""

from __future__ import annotations

import csv
import hashlib
import http.client
import json
import lzma
import os
import signal
import smtplib
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.jobs.functions import job
from taskscheduler.jobs.job import Job

_MB = 1_000_000
_SERVER_TIMEOUT = 10.0  #: seconds; both servers are local
_LOOK_EVERY = 0.2  #: seconds between two looks at a watched directory
_ENDLESS_ROUNDS = 2_000_000_000


class CopyFile(Job):
    """Copies a file in chunks, syncs each to disk, and compares the checksums of both files."""

    name = "CopyFile"

    def start(self) -> dict[str, Any]:
        source, target = Path(self.data["source"]), Path(self.data["target"])
        size = source.stat().st_size
        with source.open("rb") as reading, target.open("wb") as writing:
            while chunk := reading.read(_MB // 2):
                writing.write(chunk)
                writing.flush()
                os.fsync(writing.fileno())
                done = writing.tell()
                self.update_progress(90 * done / size, f"copied {done // _MB} of {size // _MB} MB")
        checksum = _sha256(source)
        if _sha256(target) != checksum:
            raise OSError(f"{target} differs from {source}")
        self.update_progress(100, f"{size // _MB} MB copied, sha256 is equal")
        return {"bytes": size, "sha256": checksum}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class SendMail(Job):
    """Delivers a mail over SMTP."""

    name = "SendMail"

    def start(self) -> str:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "demo@example.org", self.data["to"], self.data["subject"]
        # the id does not change with the attempt, so a receiver knows a mail that was sent twice
        mail["Message-ID"] = f"<{self.id}@example.org>"
        mail.set_content(f"{self.data['subject']}\n\nDelivered by attempt {self.attempt} of job {self.id}.\n")
        # without a name smtplib would look up that of this host
        with smtplib.SMTP(
            self.data["host"], self.data["port"], local_hostname="localhost", timeout=_SERVER_TIMEOUT
        ) as server:
            server.send_message(mail)
        self.update_progress(100, f"delivered to {self.data['to']}")
        return str(mail["Message-ID"])


class Download(Job):
    """Fetches a file over HTTP; any answer but 200 fails the attempt."""

    name = "Download"

    def start(self) -> int:
        target, done = Path(self.data["target"]), 0
        connection = http.client.HTTPConnection(self.data["host"], self.data["port"], timeout=_SERVER_TIMEOUT)
        try:
            connection.request("GET", self.data["path"])
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise ConnectionError(f"the server said {response.status} {response.reason}")
            size = int(response.headers["Content-Length"])
            with target.open("wb") as file:
                while chunk := response.read(_MB):
                    done += file.write(chunk)
                    self.update_progress(100 * done / size)
        finally:
            connection.close()
        self.update_progress(100, f"{done // _MB} MB fetched at try {self.attempt}")
        return done


class ImportOrders(Job):
    """Adds children that each add up a part of a file, waits for them and adds up their results."""

    name = "ImportOrders"

    def start(self) -> int:
        parts = self.data["parts"]
        children = [
            self.scheduler.add_job(AddUp, {"file": self.data["file"], "part": part, "parts": parts}, parent=self.id)
            for part in range(parts)
        ]
        self.update_progress(10, f"waits for {parts} children")
        self.scheduler.wait_for(children, throw=True)
        total = sum(int(child.result_value) for child in children)
        self.update_progress(100, f"orders of {total / 100:,.2f} in total")
        return total


class AddUp(Job):
    """Adds up every n-th order of a file, in cents."""

    name = "AddUp"

    def start(self) -> int:
        total = count = 0
        with open(self.data["file"], newline="") as file:
            size = os.fstat(file.fileno()).st_size
            for number, row in enumerate(csv.DictReader(file)):
                if number % self.data["parts"] == self.data["part"]:
                    total, count = total + int(row["cents"]), count + 1
                if number % 10_000 == 0:
                    self.update_progress(min(100, 100 * number * 20 / size))
        self.update_progress(100, f"{count:,} orders read")
        return total


class StretchKey(Job):
    """Derives a key with so many rounds that the C code takes most of an hour."""

    name = "StretchKey"

    def start(self) -> bytes:
        self.update_progress(message=f"{_ENDLESS_ROUNDS:,} rounds in C")
        return hashlib.pbkdf2_hmac("sha256", b"secret", str(self.id).encode(), _ENDLESS_ROUNDS)


class ParseReport(Job):
    """Reads a JSON file."""

    name = "ParseReport"

    def start(self) -> Any:
        return json.loads(Path(self.data["file"]).read_text())


class PackLogs(Job):
    """Compresses a file with the strongest preset."""

    name = "PackLogs"

    def start(self) -> int:
        source = Path(self.data["source"])
        size, done = source.stat().st_size, 0
        with source.open("rb") as reading, lzma.open(self.data["target"], "wb", preset=9) as writing:
            while chunk := reading.read(_MB // 2):
                writing.write(chunk)
                done += len(chunk)
                self.update_progress(100 * done / size, f"packed {done // _MB} of {size // _MB} MB")
        return Path(self.data["target"]).stat().st_size


class SurviveKill(Job):
    """Loses its worker to SIGKILL, as to the OOM killer; the next attempt does the work."""

    name = "SurviveKill"

    def start(self) -> str:
        if self.attempt == 1:
            signal.raise_signal(signal.SIGKILL)
        checksum = _sha256(Path(self.data["file"]))
        self.update_progress(100, f"worker killed; done at try {self.attempt}")
        return checksum


class CleanTemp(Job):
    """Removes the files of a directory that are older than `max_age` seconds."""

    name = "CleanTemp"

    def start(self) -> int:
        oldest = SYSTEM_CLOCK.now().timestamp() - self.data["max_age"]
        removed = kept = 0
        for entry in sorted(Path(self.data["directory"]).iterdir()):
            if entry.is_file() and entry.stat().st_mtime < oldest:
                entry.unlink(missing_ok=True)
                removed += 1
            else:
                kept += 1
        self.update_progress(100, f"{removed} old removed, {kept} kept")
        return removed


class WatchDirectory(Job):
    """Counts the files that arrive in a directory, until it is cancelled."""

    name = "WatchDirectory"

    def start(self) -> None:
        directory, pause = Path(self.data["directory"]), threading.Event()
        known, arrived = set(os.listdir(directory)), 0
        self.update_progress(message="no file arrived yet")
        while True:
            pause.wait(_LOOK_EVERY)
            now = set(os.listdir(directory))
            if new := sorted(now - known):
                arrived += len(new)
                self.update_progress(message=f"{arrived} arrived, the last is {new[-1]}")
            known = now


@job(name="report_sizes")
def report_sizes(directory: str, target: str, *, job: Job) -> int:
    """Writes a list of the files below a directory, the largest first."""
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    sizes = sorted(((path.stat().st_size, path.name) for path in files), reverse=True)
    Path(target).write_text("".join(f"{size:>12,} {name}\n" for size, name in sizes))
    job.update_progress(100, f"listed {len(sizes)} files, {sum(size for size, _ in sizes) // _MB} MB")
    return len(sizes)


@job(name="count_primes")
def count_primes(below: int, *, job: Job) -> int:
    """Counts the primes below a number with a sieve, piece by piece."""
    piece, small = 500_000, _primes(int(below**0.5) + 1)
    found = 0
    for start in range(0, below, piece):
        end = min(start + piece, below)
        flags = bytearray([1]) * (end - start)
        for prime in small:
            first = max(prime * prime, -(-start // prime) * prime) - start
            if first < len(flags):
                flags[first::prime] = bytes(len(range(first, len(flags), prime)))
        found += sum(flags) - (2 if start == 0 else 0)  # 0 and 1 are not prime
        job.update_progress(100 * end / below, f"{found:,} up to {end // _MB} million")
    return found


def _primes(below: int) -> list[int]:
    return [number for number in range(2, below) if all(number % divisor for divisor in range(2, int(number**0.5) + 1))]
