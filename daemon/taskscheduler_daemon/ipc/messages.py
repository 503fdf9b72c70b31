"""The messages between node, manager and workers: small fixed headers, then BSON that the manager never decodes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

import bson
from bson import ObjectId

from taskscheduler.model import lenient
from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.payload import CODEC

_RUN = struct.Struct("<BB12sId")

_RUN_SIZE = _RUN.size

_WATCH = struct.Struct("<dddd")

_REPORT = struct.Struct("<BB12sI12sdddQ")

_REPORT_SIZE = _REPORT.size

_HELD = struct.Struct("<12sI12sd")

_GONE = struct.Struct("<B12sI")

_TIME = struct.Struct("<Bd")

_SIGN = struct.Struct("<B12sId")

_BETWEEN_NAMES = "\0"

_INTERRUPT = struct.Struct("<BB12s")

_JOBS = struct.Struct("<I")

_PRIORITY = struct.Struct("<q")

_ITEM = struct.Struct("<B12s")

_ASKED = struct.Struct("<B12sI12s")

_BSON_LENGTH = struct.Struct("<i")


class Kind(IntEnum):
    """The first byte of every message."""

    # node -> manager -> worker
    RUN = 1
    # node -> manager
    CANCEL = 2  #: ids of jobs to kill
    LEASE = 3  #: the monotonic time until which jobs may run
    STOP = 4  #: finish within so many seconds, hand the rest back
    RECYCLE = 5  #: replace the workers, each after its job
    STACK = 8  #: asks where a job is
    ALIVE = 7  #: the answer to SILENT: when a child of the job gave its last sign of life
    # manager -> worker
    INTERRUPT = 6  #: end an async job
    # worker -> manager -> node
    REPORT = 10  #: an attempt has ended
    PROGRESS = 11
    READY = 12  #: worker -> manager only: the limit for progress that holds there, and the jobs that it knows
    ITEM = 13  #: one job of a batch has ended; the REPORT of the batch is about those without one
    # manager -> node
    POOL = 20  #: how many slots there are
    WORKER = 21  #: a worker was spawned or has ended
    HELD = 22  #: the attempts that the manager holds
    BROKEN = 23  #: no worker can be built
    STOPPED = 24
    GONE = 25  #: nothing is left of an attempt that was exclusive
    SILENT = 26  #: asks whether a silent job has a child that is not
    KNOWN = 27  #: the jobs that the newest worker knows
    STACK_OF = 28  #: the answer to STACK


class Flag(IntFlag):
    """The properties of a run."""

    NONE = 0
    FORCED = 1  #: in a worker of its own
    HOOK = 2  #: call `notification` instead of `start`
    ASYNC = 4  #: in the event loop of a worker, beside others
    PRIORITY = 8  #: has a priority other than 0, which follows the header and the limits
    WATCHED = 16  #: has limits of its own, which follow the header
    SERVICE = 32  #: is asked to stop before it is interrupted
    EXCLUSIVE = 64  #: another attempt waits until nothing is left of it, which the manager reports
    BATCH = 128  #: many jobs at once, under an id of their own; how many follows the header


# plain numbers: `&` with a member of a Flag takes a microsecond, and there is one for each run on its way
_HOOK, _WATCHED, _BATCH = int(Flag.HOOK), int(Flag.WATCHED), int(Flag.BATCH)
_HAS_PRIORITY = int(Flag.PRIORITY)
_LONGER_HEAD = _WATCHED | _BATCH | _HAS_PRIORITY  #: of these, more stands before the body

_RUN_KIND = int(Kind.RUN)


#: a third of the time that the constructor of a NamedTuple takes
_tuple = tuple.__new__


class Run(NamedTuple):
    """One attempt of a job, on its way to a worker."""

    job_id: bytes
    attempt: int
    timeout: float  #: seconds; 0: no limit
    flags: int
    body: bytes  #: the job as BSON: _id, class, data
    silence: float = 0.0  #: seconds without a sign of life after which it is killed; 0: no limit
    soft: float = 0.0  #: for a service: seconds from the request to stop until it is interrupted
    hard: float = 0.0  #: for a service: seconds until it is killed
    start_by: float = 0.0  #: the monotonic time after which it must not begin; 0.0: no limit
    jobs: int = 1  #: how many jobs it runs; with BATCH `body` holds them one after the other
    priority: int = 0  #: those of a higher one begin first

    def encode(self) -> bytes:
        """Encodes the run as a message."""
        job_id, attempt, timeout, flags, body, silence, soft, hard, start_by, jobs, priority = self
        head = _RUN.pack(_RUN_KIND, flags, job_id, attempt, timeout)
        if not flags & _LONGER_HEAD:
            return head + body
        limits = _WATCH.pack(silence, soft, hard, start_by) if flags & _WATCHED else b""
        rank = _PRIORITY.pack(priority) if flags & _HAS_PRIORITY else b""
        return head + limits + rank + (_JOBS.pack(jobs) if flags & _BATCH else b"") + body

    def is_attempt_of(self, job_id: bytes) -> bool:
        """Tells whether it is an attempt of this job, not the call of its notification."""
        return self.job_id == job_id and not self.flags & _HOOK

    def is_late(self, now: float) -> bool:
        """Tells whether it must not begin any more at this monotonic time."""
        return 0 < self.start_by <= now

    @classmethod
    def decode(cls, message: bytes) -> Run:
        """Decodes a RUN message."""
        _, flags, job_id, attempt, timeout = _RUN.unpack_from(message)
        if not flags & _LONGER_HEAD:
            return _tuple(cls, (job_id, attempt, timeout, flags, message[_RUN_SIZE:], *_NO_LIMITS))
        limits, priority, jobs, start = (0.0, 0.0, 0.0, 0.0), 0, 1, _RUN.size
        if flags & _WATCHED:
            limits, start = _WATCH.unpack_from(message, start), start + _WATCH.size
        if flags & _HAS_PRIORITY:
            (priority,), start = _PRIORITY.unpack_from(message, start), start + _PRIORITY.size
        if flags & _BATCH:
            (jobs,), start = _JOBS.unpack_from(message, start), start + _JOBS.size
        return cls(job_id, attempt, timeout, flags, message[start:], *limits, jobs, priority)

    def documents(self) -> list[bytes]:
        """Returns each job as BSON; each begins with its length."""
        found, start = [], 0
        while start < len(self.body):
            end = start + _BSON_LENGTH.unpack_from(self.body, start)[0]
            found.append(self.body[start:end])
            start = end
        return found


_NO_LIMITS = tuple(Run._field_defaults.values())

NO_WORKER = bytes(12)

NOT_BEGUN = 0.0

NOT_MEASURED = -1.0  #: CPU seconds

#: the jobs and attempts that processes have begun; None if that is not known
Begun = frozenset[tuple[bytes, int]] | None

ENDINGS = list(Ending)

_CODES = {ending: code for code, ending in enumerate(ENDINGS)}


class Report(NamedTuple):
    """The end of an attempt, or with kind PROGRESS its progress."""

    kind: int
    ending: Ending
    job_id: bytes
    attempt: int
    worker: bytes
    seconds: float  #: how long it ran
    body: bytes  #: BSON of result, error, progress and message, as far as there are any; else empty
    began: float = 0.0  #: when it began, in monotonic time; 0.0 if no worker says so
    cpu: float = NOT_MEASURED  #: CPU seconds
    peak_memory: int = 0  #: bytes; 0: not measured

    def encode(self) -> bytes:
        """Encodes the report as a message."""
        return encoded_report(*self)

    @classmethod
    def decode(cls, message: bytes) -> Report:
        """Decodes a REPORT or PROGRESS message."""
        kind, code, job_id, attempt, worker, seconds, began, cpu, peak = _REPORT.unpack_from(message)
        body = message[_REPORT_SIZE:]
        return _tuple(cls, (kind, ENDINGS[code], job_id, attempt, worker, seconds, body, began, cpu, peak))

    def costing(self, cost: Cost) -> Report:
        """Returns the same with what the attempt cost."""
        return self._replace(cpu=NOT_MEASURED if cost.cpu is None else cost.cpu, peak_memory=cost.peak_memory or 0)

    @property
    def cost(self) -> Cost:
        """What the attempt cost, as far as that was measured."""
        return Cost(self.cpu if self.cpu >= 0 else None, self.peak_memory or None)

    def content(self) -> dict[str, Any]:
        """Decodes the body; it is an UnreadableDocument if the driver refuses it."""
        return lenient.decode(self.body) if self.body else {}


def encoded_report(
    kind: int,
    ending: Ending,
    job_id: bytes,
    attempt: int,
    worker: bytes,
    seconds: float,
    body: bytes,
    began: float,
    cpu: float,
    peak_memory: int,
) -> bytes:
    """Encodes what a Report holds, without one: a worker makes the message of each job so."""
    return _REPORT.pack(kind, _CODES[ending], job_id, attempt, worker, seconds, began, cpu, peak_memory) + body


#: the attempt number of a run of many jobs
BATCH_RUN = 1


def item(batch: bytes, report: bytes) -> bytes:
    """Encodes the end of one job of a batch, of which this is the report as a message."""
    return _ITEM.pack(Kind.ITEM, batch) + report


def item_of(message: bytes) -> tuple[bytes, bytes]:
    """Decodes the id of the batch in an ITEM, and the report as a message."""
    _, batch = _ITEM.unpack_from(message)
    return batch, message[_ITEM.size :]


class Held(NamedTuple):
    """An attempt that the manager holds."""

    job_id: ObjectId
    attempt: int
    worker: ObjectId | None  #: None: not started
    began: float  #: when it was given to its worker, in monotonic time; NOT_BEGUN: not yet


def kind_of(message: bytes) -> int:
    """Returns the kind of a message."""
    return message[0]


def cancel(ids: list[ObjectId]) -> bytes:
    """Encodes the ids of jobs to cancel."""
    return bytes([Kind.CANCEL]) + b"".join(job_id.binary for job_id in ids)


def canceled_ids(message: bytes) -> list[bytes]:
    """Decodes the ids of jobs to cancel."""
    return [message[start : start + 12] for start in range(1, len(message), 12)]


def interrupt(job_id: bytes, verdict: Status) -> bytes:
    """Encodes the interruption of an async job; `verdict` is the status that it gets."""
    return _INTERRUPT.pack(Kind.INTERRUPT, verdict, job_id)


def interruption(message: bytes) -> tuple[bytes, Status]:
    """Decodes the interruption of an async job."""
    _, verdict, job_id = _INTERRUPT.unpack(message)
    return job_id, Status(verdict)


def timed(kind: Kind, seconds: float) -> bytes:
    """Encodes a message with a time: LEASE, STOP or RECYCLE."""
    return _TIME.pack(kind, seconds)


def time_of(message: bytes) -> float:
    """Decodes the time of a LEASE, STOP or READY."""
    return float(_TIME.unpack_from(message)[1])


def ready(progress_limit: float, names: Sequence[str]) -> bytes:
    """Encodes that a worker takes runs from now on, its limit for progress, and the names of the jobs that it knows."""
    return _TIME.pack(Kind.READY, progress_limit) + _BETWEEN_NAMES.join(names).encode(errors="replace")


def known_by(message: bytes) -> bytes:
    """Returns the names in a READY as a KNOWN."""
    return bytes([Kind.KNOWN]) + message[_TIME.size :]


def known_names(message: bytes) -> list[str]:
    """Decodes a KNOWN, whatever a worker has sent."""
    text = message[1:].decode(errors="replace")
    return text.split(_BETWEEN_NAMES) if text else []


def gone(job_id: bytes, attempt: int) -> bytes:
    """Encodes that nothing is left of an exclusive attempt."""
    return _GONE.pack(Kind.GONE, job_id, attempt)


def attempt_of(message: bytes) -> tuple[bytes, int]:
    """Decodes the job and attempt of a GONE or SILENT."""
    _, job_id, attempt = _GONE.unpack(message)
    return job_id, attempt


def silent(job_id: bytes, attempt: int) -> bytes:
    """Encodes the question whether children of a silent job give signs of life."""
    return _GONE.pack(Kind.SILENT, job_id, attempt)


def alive(job_id: bytes, attempt: int, at: float) -> bytes:
    """Encodes the answer: the monotonic time of the last sign of life of a child, 0.0 if there is none."""
    return _SIGN.pack(Kind.ALIVE, job_id, attempt, at)


def sign_of_life(message: bytes) -> tuple[bytes, int, float]:
    """Decodes the job, the attempt and the time of an ALIVE."""
    _, job_id, attempt, at = _SIGN.unpack(message)
    return job_id, attempt, at


def ask_for_stack(job_id: bytes, attempt: int, question: bytes) -> bytes:
    """Encodes the question where a job is."""
    return _ASKED.pack(Kind.STACK, job_id, attempt, question)


def stack_question(message: bytes) -> tuple[bytes, int, bytes]:
    """Decodes the job, the attempt and the id of a STACK."""
    _, job_id, attempt, question = _ASKED.unpack(message)
    return job_id, attempt, question


def stack_of(question: bytes, content: Mapping[str, Any]) -> bytes:
    """Encodes the answer to a question."""
    return _ITEM.pack(Kind.STACK_OF, question) + bson.encode(content)


def stack_in(message: bytes) -> tuple[bytes, dict[str, Any]]:
    """Decodes the id of the question and the answer."""
    _, question = _ITEM.unpack_from(message)
    return question, bson.decode(message[_ITEM.size :])


def held(entries: list[tuple[bytes, int, bytes, float]]) -> bytes:
    """Encodes the inventory of the manager."""
    return bytes([Kind.HELD]) + b"".join(_HELD.pack(*entry) for entry in entries)


def held_entries(message: bytes) -> list[Held]:
    """Decodes the inventory of the manager."""
    found = []
    for job_id, attempt, worker, began in _HELD.iter_unpack(message[1:]):
        found.append(Held(ObjectId(job_id), attempt, None if worker == NO_WORKER else ObjectId(worker), began))
    return found


def notice(kind: Kind, **facts: Any) -> bytes:
    """Encodes POOL, WORKER, BROKEN or STOPPED with a few facts."""
    return bytes([kind]) + bson.encode(facts)


def facts_of(message: bytes) -> dict[str, Any]:
    """Decodes the facts of a notice."""
    return bson.decode(message[1:])


def body(**content: Any) -> bytes:
    """Encodes the body of a report."""
    return bson.encode(content, codec_options=CODEC)
