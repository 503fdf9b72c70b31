"""Record: a program that keeps a record of itself as a job, which no node runs."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import bson

from taskscheduler.clock import Deadline
from taskscheduler.declarations.registry import job_name
from taskscheduler.errors import (
    DatabaseUnavailableError,
    InvalidOptionError,
    InvalidStateError,
    JobNotFoundError,
    SchedulerError,
)
from taskscheduler.model.attempt_result import describe, storable
from taskscheduler.model.checks import seconds
from taskscheduler.model.control.keys import keys_of
from taskscheduler.model.document import Document, new_document
from taskscheduler.model.job_errors import AlreadyRunningError, JobError, error_for_status
from taskscheduler.model.lifecycle import Ending, Status, Transition, Verdict
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC, encode, stored_form
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.progress import checked_progress
from taskscheduler.model.solo import Solo, solo_key, solo_option
from taskscheduler.process_cost import ProgramCost
from taskscheduler.process_identity import identify_self
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.fence import Fence
from taskscheduler.store.outbox import FAMILY

PATIENCE = 60.0  #: seconds for which a record tries to end while the database is away

_TRY_EVERY = 0.5


class Tracked(NamedTuple):
    """The arguments of Scheduler.track, not checked yet."""

    name: Any
    solo: Solo
    timeout: Any
    tags: Any
    fields: Mapping[str, Any]


class Record(ProcessState):
    """The record of this program. Starts with the `with` block, or with `start`; ends with it, or with `finish`.

    Fields of your own are read and written as `record["rows"]`; they are stored in the job, can be asked for with
    `get_jobs({"fields.rows": ...})` and stand in `process.fields`. Safe to use from many threads.

    When others have ended the record, each call from then on raises JobCanceledError, JobTimeoutError (it was silent
    for too long) or JobNotFoundError (deleted), and so does the end of the block if no call did: the program should
    end then.
    """

    def __init__(self, store: Store, tracked: Tracked) -> None:
        self._store = store
        self._clock = store.clock
        self._max_payload = store.options.max_payload
        super().__init__(_document(store, tracked))
        silence = self._document["options"]["silence_timeout"] or float("inf")
        self._pause = min(store.options.progress_rate_limit / 1000, silence / 3)
        self._fields: dict[str, Any] = {}
        self._fence = Fence(self.id, self._document["claim"], 1)
        self._lock = threading.RLock()
        self._unwritten: dict[str, Any] = {}  #: fields of the document
        self._timer: threading.Timer | None = None
        self._written_at = float("-inf")
        self._started = self._over = False
        self._lost = self._deleted = False  #: whether others have ended it, or deleted it, and the program has heard so
        self._pid = os.getpid()  #: of the process that started the record
        self._cost: ProgramCost | None = None
        self._take(tracked.fields)

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self, supervises: bool = False) -> Self:
        """Stores the record, if the block does not; AlreadyRunningError if it is solo and another one is at work.

        `supervises`: it stands for a process group that `stands_for` is going to name.
        """
        if self._started:
            raise InvalidStateError(f"record {self.id} was started already")
        self._started = True
        self._cost = ProgramCost(supervises)
        program = identify_self() | ({"group": None} if supervises else {})
        self._pid = program["pid"]
        self.replace({**self._document, "program": program})
        document = {**self._document, "fields": self._fields}
        encode(document, self._max_payload)
        with translated():
            holder = self._store.programs.begin(document)
        if holder is not None:
            self._over = True
            raise AlreadyRunningError(ProcessState(holder))
        self._unwritten.clear()
        self._written_at = self._clock.monotonic()
        return self

    def stands_for(self, group: int) -> None:
        """Sets the process group that must be gone, beside this process, before others regard the program as gone.

        By default that is the group of this process; with `supervises` there is none until you set it.
        """
        with self._lock, translated():
            self._check_running()
            self._unwritten["program.group"] = group
            self._write()

    def finish(self, success: bool = True, result: Any = None) -> None:
        """Ends the record: DONE with a result, or FAILED. If others have ended it, raises the errors named above.

        Tries for a minute while the database cannot be reached; then DatabaseUnavailableError.
        """
        if not success:
            self.fail("the program says that it did not succeed", result)
            return
        ending, content = storable(self.job, result, self._max_payload)
        if ending is Ending.SUCCEEDED:
            self._end(Completion(self._fence, Verdict(Transition.SUCCEED), result=result, keys=keys_of(self._document)))
        else:
            self._fail(content["error"])

    def fail(self, message: str, result: Any = None, /, **details: Any) -> None:
        """Ends the record as FAILED, with a text that says why and perhaps a result.

        `details` stand beside the text in `process.error`. InvalidDataError if one of them cannot be stored.
        """
        stored = stored_form(f"the end of {self.job}", "details", details)
        result = stored_form(f"the end of {self.job}", "result", result)
        self._fail({**stored, "type": "ProgramError", "message": str(message)}, result)

    def _fail(self, error: Mapping[str, Any], result: Any = None, once: bool = False) -> None:
        written = {} if result is None else {"result": result}
        verdict, keys = Verdict(Transition.FAIL), keys_of(self._document)
        end = Completion(
            self._fence, verdict, error=error, job=self.job, progress=written, effects=(FAMILY,), keys=keys
        )
        self._end(end, once)

    def _end(self, completion: Completion, once: bool = False) -> None:
        """Ends the record; tries again while the database is away, unless `once`."""
        deadline, again = Deadline(0 if once else PATIENCE, self._clock), False
        with self._lock:
            self._check_running()
            if self._cost is not None and os.getpid() == self._pid:  # a fork has not spent what it was before
                completion.cost = self._cost.so_far()
            while True:
                try:
                    self._write_end(completion, again)
                except DatabaseUnavailableError:
                    if deadline.passed:
                        raise
                    again = True
                    threading.Event().wait(_TRY_EVERY)
                else:
                    return

    def _write_end(self, completion: Completion, again: bool) -> None:
        with translated():
            if self._unwritten:
                self._write()
            if not self._store.programs.end(completion, again):
                self._raise_ended()
            self._over = True

    def __enter__(self) -> Self:
        return self if self._started else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._over:
            return
        if error is None:
            self.finish()
            return
        try:
            # a person who interrupts a program does not want to wait
            self._fail(describe(error), once=not isinstance(error, Exception))
        except SchedulerError as lost:  # the error of the block matters more
            error.add_note(f"The end of record {self.id} was not stored: {lost}")

    # -- signs of life ----------------------------------------------------------------------------------------------

    def sign_of_life(self) -> None:
        """Reports that this program lives. At most one write per `progress_rate_limit`."""
        self._report({})

    def update_progress(self, progress: float | None = None, message: str | None = None) -> None:
        """Reports the progress, 0 to 100. At most one write per `progress_rate_limit`; the last value arrives."""
        progress = checked_progress(progress, message)
        news = {"progress": progress, "message": message}
        self._report({name: value for name, value in news.items() if value is not None})

    def update(self, /, **fields: Any) -> None:
        """Stores fields of your own; at once, if the record is started."""
        with self._lock, translated():
            self._take(fields)
            if self._started:
                self._check_running()
                self._write()

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of the fields as this program has set them."""
        return dict(self._fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update(**{name: value})

    def _report(self, news: Mapping[str, Any]) -> None:
        with self._lock, translated():
            self._check_running()
            self._unwritten |= news
            left = self._written_at + self._pause - self._clock.monotonic()
            if left <= 0:
                self._write()
            elif news and self._timer is None:
                self._timer = threading.Timer(left, self._write_later)
                self._timer.daemon = True
                self._timer.start()

    def _write_later(self) -> None:
        with self._lock:
            try:
                if self._timer is not None and not self._over:
                    self._is_written()  # if others have ended the record, the next call finds that, too
            except Exception:
                self._timer = None  # the next call raises it

    def _write(self) -> None:
        if not self._is_written():
            self._raise_ended()

    def _is_written(self) -> bool:
        """Writes what has not been written; False if others have ended the record, of which the program must hear."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if os.getpid() != self._pid:
            self._unwritten["program.group"] = (
                None  # a fork keeps the record, and may outlive the process that started it
            )
        if not self._store.programs.report(self._fence, self._unwritten):
            return False
        self._unwritten = {}
        self._written_at = self._clock.monotonic()
        return True

    def _check_running(self) -> None:
        if self._lost:
            raise self._loss()
        if not self._started or self._over:
            raise InvalidStateError(f"record {self.id} {'has ended' if self._over else 'was not started'}")

    def _raise_ended(self) -> None:
        """Raises the error for the status that others have given this record when they ended it."""
        self._store.programs.release_lock(self._fence)
        document = self._store.jobs.get(self.id)
        if document is not None:
            self.replace(document)
        self._deleted, self._lost, self._over = document is None, True, True
        raise self._loss()

    def _loss(self) -> SchedulerError:
        """Returns the error for a record that others have ended."""
        if self._deleted:
            return JobNotFoundError(self.id)
        ended: JobError | None = error_for_status(self)
        return ended or InvalidStateError(f"record {self.id} was ended by others")

    def _take(self, fields: Mapping[str, Any]) -> None:
        for name in fields:
            if not name or name.startswith("$") or "." in name or "\0" in name:
                raise InvalidOptionError(f"a field must not be called {name!r:.60}: no dots, no dollar in front")
        together = {**self._fields, **fields}
        document = {"class": self.job, "data": together}
        stored = bson.decode(encode(document, self._max_payload).raw, codec_options=CODEC)["data"]
        self._fields = stored
        self._unwritten |= {f"fields.{name}": stored[name] for name in fields}


def _document(store: Store, tracked: Tracked) -> Document:
    name, solo = job_name(tracked.name), solo_option("solo", tracked.solo)
    document = new_document(name, None, JobOptions.of({"tags": tracked.tags}), store.clock.now())
    document |= {"status": int(Status.PROCESSING), "claim": uuid.uuid4().hex, "attempt": 1, "hook": False}
    document |= {"program": identify_self(), "started": document["created"]}
    document["node"] = document["program"]["host"]
    document["options"]["silence_timeout"] = seconds("timeout", tracked.timeout)
    if key := solo_key(solo, name):
        document["solo"] = document["gate"] = key
    return document
