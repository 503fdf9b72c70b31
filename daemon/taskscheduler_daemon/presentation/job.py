"""Describes a job in one line: its state, tries and times, and a note with what matters now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.model.lifecycle import FINAL, Status
from taskscheduler.process import Process
from taskscheduler.store.attempts.completion import SNOOZED
from taskscheduler.store.job_lists import CAP
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.kinds import blocks, failing, is_service, kind, waits_for
from taskscheduler_daemon.presentation.steps import awaits
from taskscheduler_daemon.presentation.text import local, size


def record(job: Process) -> dict[str, Any]:
    """Returns the stored document with the name of its status."""
    return {**job.to_dict(), "state": job.status.label}


COLUMNS = ("ID", "JOB", "STATE", "TRY", "AGE", "WAIT", "RUN", "NOTE")

_SEPARATOR = "; "


class Look(NamedTuple):
    """The look of a status; the colour is number 0 to 255 of a terminal, and never the only sign."""

    glyph: str
    ascii: str
    color: int


class _Looks(dict[Status, Look]):
    """The look of each status, and of a stored value that is none."""

    def __missing__(self, status: Status) -> Look:
        return Look("?", "?", 1)


LOOKS: Mapping[Status, Look] = _Looks(
    {
        Status.WAITING: Look("○", "o", 4),
        Status.POSTPONED: Look("◷", "~", 5),
        Status.PROCESSING: Look("▶", ">", 3),
        Status.DONE: Look("✓", "+", 2),
        Status.FAILED: Look("✗", "x", 1),
        Status.CANCELED: Look("⊘", "-", 8),
        Status.TIMEOUT: Look("⌛", "!", 208),
    }
)

#: an attempt without a status: its worker or node was lost, or it was handed back
UNFINISHED = Look("↺", "<", 8)


#: a service that waits for its next start after it has failed
FAILING = Look("✗", "x", 1)

FAILING_LABEL = "failing"


def look_of(job: Process) -> Look:
    """Returns how a job looks: as its status, but as a failure if it is a service that fails again and again."""
    return FAILING if failing(job) else LOOKS[job.status]


def label_of(job: Process) -> str:
    """Returns the status of a job in a word, for people."""
    return FAILING_LABEL if failing(job) else job.status.label


def state_of(job: Process, fancy: bool) -> str:
    """Returns the status of a job with its sign, for people."""
    if not failing(job):
        return state(job.status, fancy)
    return f"{FAILING.glyph if fancy else FAILING.ascii} {FAILING_LABEL}"


def attempt_look(status: Status | None) -> Look:
    """Returns how the end of one attempt looks."""
    return UNFINISHED if status is None else LOOKS[status]


def attempt_label(attempt: Mapping[str, Any]) -> str:
    """Returns the end of one attempt in a word or two."""
    status = attempt["status"]
    if status is None:
        return "lost" if attempt.get("error") else "handed back"
    return SNOOZED if status is Status.POSTPONED else str(status.label)


def attempt_note(attempt: Mapping[str, Any]) -> str:
    """Returns the error of one attempt in one line, or who had it handed back, and why it was tried again."""
    done = attempt["status"] is Status.DONE
    fault = "" if done else error_line(attempt.get("error")) or str(attempt.get("reason") or "")
    again = f"tried again: {attempt['retried']}" if attempt.get("retried") else ""
    return _SEPARATOR.join(part for part in (fault, again) if part)


def glyph(status: Status, fancy: bool) -> str:
    """Returns the sign of a status."""
    return LOOKS[status].glyph if fancy else LOOKS[status].ascii


def state(status: Status, fancy: bool) -> str:
    """Returns a status with its sign, for people."""
    # an hourglass takes two columns of a terminal, every other sign one
    return glyph(status, fancy) + ("" if fancy and status is Status.TIMEOUT else " ") + status.label


def row(job: Process, now: datetime, with_queue: bool = False) -> tuple[str, ...]:
    """Returns the cells of a job, in the order of COLUMNS, with its plain status; `with_queue` adds it to the note."""
    queue = f"queue {job.options['queue']}" if with_queue else ""
    remarks = _SEPARATOR.join(part for part in (queue, note(job, now)) if part)
    times = (age(job, now), wait_time(job, now), run_time(job, now))
    return (job.id_text, job.job, job.status.label, tries(job), *times, remarks)


def tries(job: Process) -> str:
    """Returns the attempt and the largest number of attempts, such as `2/4`.

    Attempts that were lost, snoozed or ended in a sleep count in both, as they use no retry. For a service, returns how
    often it was started.
    """
    retry = job.options.get("retry", 0)
    if job.attempt == 0:
        return ""
    if is_service(job):
        return str(job.attempt)
    if retry == -1:
        return f"{job.attempt}/*"
    lost, sleeps = job.to_dict().get("lost", 0), job.to_dict().get("sleeps", 0)
    if not isinstance(retry, int) or not isinstance(lost, int) or not isinstance(sleeps, int):
        return str(job.attempt)
    most = retry + 1 + lost + job.snoozes + sleeps
    return str(job.attempt) if most <= 1 else f"{job.attempt}/{most}"


def age(job: Process, now: datetime) -> str:
    """Returns how long ago a job was added."""
    return "" if job.created is None else brief(_between(job.created, now))


def wait_time(job: Process, now: datetime) -> str:
    """Returns how long a job has been waiting since it was due, or waited for its last attempt."""
    if job.status is Status.WAITING and job.at is not None:
        return brief(_between(job.at, now))
    if job.status is Status.POSTPONED or job.program or job.wait_time is None:
        return ""
    return brief(job.wait_time)


def run_time(job: Process, now: datetime) -> str:
    """Returns how long a job has been running, or ran in its last attempt."""
    if job.started is None or job.status in (Status.WAITING, Status.POSTPONED):
        return ""
    if job.status is Status.PROCESSING:
        return brief(_between(job.started, now))
    return "" if job.run_time is None else brief(job.run_time)


def lasted(attempt: Mapping[str, Any], now: datetime) -> str:
    """Returns how long one attempt ran, or has been running."""
    started, ended = attempt.get("started"), attempt.get("ended")
    if ended is None and attempt["status"] is Status.PROCESSING:
        ended = now
    if not isinstance(started, datetime) or not isinstance(ended, datetime):
        return ""
    return brief(_between(started, ended))


def spent(attempt: Mapping[str, Any]) -> str:
    """Returns what one attempt cost beside time: CPU time, peak memory, and the end of a process that died with it."""
    cpu, memory, code, number = (attempt.get(name) for name in ("cpu", "peak_memory", "exit_code", "signal"))
    parts = ["" if cpu is None else f"cpu {brief(cpu)}", "" if memory is None else size(memory)]
    if not attempt.get("error"):  # else it is there
        parts += ["" if code is None else f"exit code {code}", "" if number is None else f"signal {number}"]
    return ", ".join(part for part in parts if part)


def note(job: Process, now: datetime) -> str:
    """Returns what matters about a job in a list: its kind, if it is not a plain job, and its news."""
    return _SEPARATOR.join(part for part in (kind(job), news(job, now)) if part)


def news(job: Process, now: datetime) -> str:
    """Returns what matters about a job now: when it runs, how far it is, or what went wrong."""
    parts = [_due(job, now), progress(job), blocks(job), _last_error(job), interval(job)]
    return _SEPARATOR.join(part for part in parts if part)


def _due(job: Process, now: datetime) -> str:
    if job.status is not Status.POSTPONED or job.at is None:
        return ""
    if kept := waits_for(job) or awaits(job, now):
        return kept
    left = (job.at - now).total_seconds()
    when = f"in {brief(left)}" if left > 0 else "now"
    if count_of_failures := failing(job):
        return f"{FAILING_LABEL} ({count_of_failures}), again {when}"
    if is_snoozed(job):
        return f"{SNOOZED}, again {when}"
    again = job.attempt > 0 and is_service(job)
    return ("starts again " if again else "retry " if job.to_dict().get("retries") else "due ") + when


def is_snoozed(job: Process) -> bool:
    """Returns whether a job waits that has put itself off."""
    return job.status is Status.POSTPONED and str(job.to_dict().get("rearmed", "")).endswith(f":{SNOOZED}")


def start_by(job: Process, now: datetime) -> str:
    """Returns by when a queued job has to begin; nothing if that is not limited."""
    if job.expires is None:
        return ""
    left = (job.expires - now).total_seconds()
    return f"{local(job.expires)}, " + (f"in {brief(left)}" if left > 0 else "over")


def progress(job: Process) -> str:
    """Returns the progress that a job has reported, such as `82% copied 3.2 of 3.9 GB`."""
    if job.status in (Status.WAITING, Status.POSTPONED):
        return ""
    percent = "" if job.status is Status.DONE or not job.progress else f"{job.progress:.4g}%"
    return " ".join(part for part in (percent, job.message) if part)


def _last_error(job: Process) -> str:
    told = job.status not in (Status.DONE, Status.PROCESSING) and not is_snoozed(job)
    return error_line(job.error) if told else ""


def error_line(error: Mapping[str, object] | None) -> str:
    """Returns the type of an error and the first line of its message, such as `ConnectionError: refused`."""
    if not error:
        return ""
    message = str(error.get("message") or "").strip().splitlines()
    return str(error.get("type") or "error") + (f": {message[0]}" if message else "")


def interval(job: Process) -> str:
    """Returns the interval of a job that will run again, such as `every 1d`."""
    every = job.options.get("interval", 0)
    if not isinstance(every, int | float) or not every or job.status in FINAL:
        return ""
    return "again and again" if every == -1 else f"every {brief(every)}"


def count(number: int, is_complete: bool = True) -> str:
    """Returns a count, or `10k+` above CAP, up to which jobs are counted; `200+` if not all were counted."""
    if number > CAP:
        return "10k+"
    return str(number) if is_complete else f"{number - 1}+"


def _between(earlier: datetime, later: datetime) -> float:
    return max(0.0, (later - earlier).total_seconds())
