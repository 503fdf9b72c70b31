"""`Record`: a program that no node runs keeps record of itself as a job, for all who look at jobs."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import bson

from taskscheduler.clock import Clock, Deadline
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
from taskscheduler.model.document import Document, new_document
from taskscheduler.model.job_errors import AlreadyRunningError, JobError, error_for_status
from taskscheduler.model.lifecycle import Ending, Status, Transition, Verdict
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import CODEC, encode
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.progress import checked_progress
from taskscheduler.model.solo import Solo, solo_key, solo_option
from taskscheduler.process_identity import identify_self
from taskscheduler.store import Store
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.fence import Fence
from taskscheduler.store.outbox import FAMILY

PATIENCE = 60.0  #: seconds for which the end of a record is tried again while the database is away

_TRY_EVERY = 0.5


class Record(ProcessState):
    """The record of this program. Starts with the `with` block, or with `start`; ends with it, or with `finish`.

    Fields of your own are read and written as `record["rows"]`; they are stored in the job, can be asked for with
    `get_jobs({"fields.rows": ...})` and stand in `process.fields`. Safe to use from many threads.

    When others have ended the record, the next call raises JobCanceledError, JobTimeoutError (it was silent for too
    long) or JobNotFoundError (deleted): the program should end then.
    """

    def __init__(
        self,
        store: Store,
        options: SchedulerOptions,
        clock: Clock,
        name: Any,
        solo: Solo,
        timeout: Any,
        tags: Any,
        fields: Any,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_payload = options.max_payload
        super().__init__(_document(store, job_name(name), solo_option("solo", solo), timeout, tags))
        silence = self._document["options"]["silence_timeout"] or float("inf")
        self._pause = min(options.progress_rate_limit / 1000, silence / 3)
        self._fields: dict[str, Any] = {}
        self._fence = Fence(self.id, self._document["claim"], 1)
        self._lock = threading.RLock()
        self._said: dict[str, Any] = {}  #: what is still to be written
        self._timer: threading.Timer | None = None
        self._written_at = float("-inf")
        self._begun = self._over = False
        self._pid = os.getpid()  #: of the process that has started it
        self._take(fields)

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self, supervises: bool = False) -> Self:
        """Store the record, if the block does not; AlreadyRunningError if it is solo and another one is at work.

        `supervises`: it stands for a process group that `stands_for` is going to name.
        """
        if self._begun:
            raise InvalidStateError(f"record {self.id} was started already")
        self._begun = True
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
        self._said.clear()
        self._written_at = self._clock.monotonic()
        return self

    def stands_for(self, group: int) -> None:
        """Say which process group must be gone beside this process before others take the program for gone.

        That of this process, unless you say otherwise; of one that `supervises` none, until it is said.
        """
        with self._lock, translated():
            self._check_running()
            self._said["program.group"] = group
            self._write()

    def finish(self, success: bool = True, result: Any = None) -> None:
        """End the record: DONE with a result, or FAILED. Raises what the class says if others have ended it.

        While the database cannot be reached it is tried again, for a minute; then DatabaseUnavailableError.
        """
        if not success:
            self.fail("the program says that it did not succeed", result)
            return
        ending, content = storable(self.job, result, self._max_payload)
        if ending is Ending.SUCCEEDED:
            self._end(
                Completion(self._fence, Verdict(Transition.SUCCEED), result=result, solo=self._document.get("solo"))
            )
        else:
            self._fail(content["error"])

    def fail(self, message: str, result: Any = None, /, **details: Any) -> None:
        """End the record as FAILED, with a text that says why, and anything else that BSON can hold.

        `details` stand beside the text in `process.error`.
        """
        self._fail({**details, "type": "ProgramError", "message": str(message)}, result)

    def _fail(self, error: Mapping[str, Any], result: Any = None, once: bool = False) -> None:
        said = {} if result is None else {"result": result}
        verdict, solo = Verdict(Transition.FAIL), self._document.get("solo")
        self._end(Completion(self._fence, verdict, error=error, progress=said, effects=(FAMILY,), solo=solo), once)

    def _end(self, one: Completion, once: bool = False) -> None:
        """End it; while the database is away try again, unless once is enough."""
        deadline, again = Deadline(0 if once else PATIENCE, self._clock), False
        with self._lock:
            self._check_running()
            while True:
                try:
                    self._write_end(one, again)
                except DatabaseUnavailableError:
                    if deadline.passed:
                        raise
                    again = True
                    threading.Event().wait(_TRY_EVERY)
                else:
                    return

    def _write_end(self, one: Completion, again: bool) -> None:
        with translated():
            if self._said:
                self._write()
            if not self._store.programs.end(one, again):
                self._raise_ended()
            self._over = True

    def __enter__(self) -> Self:
        return self if self._begun else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._over:
            return
        if error is None:
            self.finish()
            return
        try:
            # who interrupts a program does not want to wait
            self._fail(describe(error), once=not isinstance(error, Exception))
        except SchedulerError as unsaid:  # what went wrong in the block is what matters
            error.add_note(f"The end of record {self.id} was not stored: {unsaid}")

    # -- signs of life ----------------------------------------------------------------------------------------------

    def sign_of_life(self) -> None:
        """Say that this program lives. At most one write per `progress_rate_limit`."""
        self._say({})

    def update_progress(self, progress: float | None = None, message: str | None = None) -> None:
        """Say how far it is, 0 to 100. At most one write per `progress_rate_limit`; the last value always arrives."""
        progress = checked_progress(progress, message)
        said = {"progress": progress, "message": message}
        self._say({name: value for name, value in said.items() if value is not None})

    def update(self, /, **fields: Any) -> None:
        """Store fields of your own; at once, if the record is started."""
        with self._lock, translated():
            self._take(fields)
            if self._begun:
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

    def _say(self, said: Mapping[str, Any]) -> None:
        with self._lock, translated():
            self._check_running()
            self._said |= said
            left = self._written_at + self._pause - self._clock.monotonic()
            if left <= 0:
                self._write()
            elif said and self._timer is None:
                self._timer = threading.Timer(left, self._write_later)
                self._timer.daemon = True
                self._timer.start()

    def _write_later(self) -> None:
        with self._lock:
            try:
                if self._timer is not None and not self._over:
                    self._write()
            except Exception:
                self._timer = None  # the next call says so

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if os.getpid() != self._pid:
            self._said["program.group"] = None  # a fork goes on with it: it may outlive the process that began it
        if not self._store.programs.report(self._fence, self._said):
            self._raise_ended()
        self._said = {}
        self._written_at = self._clock.monotonic()

    def _check_running(self) -> None:
        if not self._begun or self._over:
            raise InvalidStateError(f"record {self.id} {'has ended' if self._over else 'was not started'}")

    def _raise_ended(self) -> None:
        """Others have ended this record: what they made of it."""
        self._over = True
        self._store.programs.release_lock(self._fence)
        document = self._store.jobs.get(self.id)
        if document is None:
            raise JobNotFoundError(self.id)
        self.replace(document)
        ended: JobError | None = error_for_status(self)
        raise ended or InvalidStateError(f"record {self.id} was ended by others")

    def _take(self, fields: Mapping[str, Any]) -> None:
        for name in fields:
            if not name or name.startswith("$") or "." in name or "\0" in name:
                raise InvalidOptionError(f"a field must not be called {name!r:.60}: no dots, no dollar in front")
        together = {**self._fields, **fields}
        encode({"class": self.job, "data": together}, self._max_payload)
        stored = bson.decode(bson.encode(together, codec_options=CODEC), codec_options=CODEC)
        self._fields = stored
        self._said |= {f"fields.{name}": stored[name] for name in fields}


def _document(store: Store, name: str, solo: Solo, timeout: Any, tags: Any) -> Document:
    document = new_document(name, None, JobOptions.of({"tags": tags}), store.clock.now())
    document |= {"status": int(Status.PROCESSING), "claim": uuid.uuid4().hex, "attempt": 1, "hook": False}
    document |= {"program": identify_self(), "started": document["created"]}
    document["node"] = document["program"]["host"]
    document["options"]["silence_timeout"] = seconds("timeout", timeout)
    if key := solo_key(solo, name):
        document["solo"] = document["gate"] = key
    return document
