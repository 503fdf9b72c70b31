"""The calls of a producer, each written down before and after: what it is about to do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from taskscheduler import Flow, Scheduler
from taskscheduler.errors import DatabaseUnavailableError, SchedulerError
from tests.faults.history import of_environment
from tests.faults.standing import ORDERS, SERVICES, release_sequences, start_service

Options = dict[str, Any]


def _text(error: SchedulerError) -> str:
    return f"{type(error).__name__}: {error}"[:200]


class Calls:
    """Adds and cancels jobs, and starts services, through one scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._history = of_environment()
        self.stopped = set(SERVICES)  #: services that we may have stopped and not started again

    def add(self, job: str, data: Any, expected: str, **options: Any) -> ObjectId | None:
        """The id of the job if it was added for certain."""
        job_id = ObjectId()
        given = self._scheduler.add_job
        sure = self._tell([job_id], expected, lambda: given(f"faults.{job}", data, {**options, "id": job_id}))
        return job_id if sure else None

    def add_some(self, job: str, data: list[Any], options: Options) -> None:
        """Add several jobs at once that will be DONE."""
        ids = [ObjectId() for _ in data]
        jobs = [(f"faults.{job}", one, {**options, "id": job_id}) for one, job_id in zip(data, ids, strict=True)]
        self._tell(ids, "done", lambda: self._scheduler.add_jobs(jobs))

    def _tell(self, ids: list[ObjectId], expected: str, add: Callable[[], Any]) -> bool:
        self._history.write("add", ids=ids, expected=expected)
        try:
            add()
        except SchedulerError as error:
            self._history.write("unknown", ids=ids, why=_text(error))
            return False
        self._history.write("acked", ids=ids)
        return True

    def add_once(self, key: int, options: Options) -> None:
        """Add a job unless one of this key is live."""
        job_id = ObjectId()
        self._history.write("add", ids=[job_id], expected="any", once=key)
        try:
            process = self._scheduler.add_job_once("faults.nap", 0.1 + key / 10, {**options, "id": job_id})
        except SchedulerError as error:
            self._history.write("unknown", ids=[job_id], why=_text(error))
            return
        if process.outcome == "existing":
            self._history.write("existing", ids=[job_id], job=process.id)
        else:
            self._history.write("acked", ids=[job_id])

    def add_flow(self, flow: Flow, expected: str) -> None:
        """Add a flow, of which all jobs will end as expected."""
        ids = [job.id for job in flow.jobs]
        before = {str(job.id): [one.id for one in job.predecessors] for job in flow.jobs}
        self._history.write("flow", flow=flow.id, jobs=ids, before=before)
        self._tell(ids, expected, lambda: self._scheduler.flows.add(flow))

    def order(self, job: str, data: Any) -> None:
        """Add a job in a transaction with a write of our own."""
        job_id = ObjectId()

        def order(session: Any) -> None:
            self._scheduler.database[ORDERS].insert_one({"job": job_id}, session=session)
            self._scheduler.add_job(f"faults.{job}", data, id=job_id, session=session)

        def add() -> None:
            try:
                with self._scheduler.database.client.start_session() as session:
                    session.with_transaction(order)
            except PyMongoError as error:
                raise DatabaseUnavailableError(str(error)) from error

        self._history.write("ordering", ids=[job_id])
        self._tell([job_id], "done", add)

    def cancel(self, job_id: ObjectId) -> None:
        """Cancel a job."""
        self._history.write("cancel", job=job_id)
        try:
            self._scheduler.cancel_job(job_id)
        except SchedulerError as error:
            self._history.write("cancel_unknown", job=job_id, why=str(error)[:200])
        else:
            self._history.write("canceled", job=job_id)

    def signal(self, job_id: ObjectId, value: int) -> None:
        """Give a job its signal."""
        self._history.write("signal", job=job_id, value=value)
        try:
            told = self._scheduler.signal(job_id, "go", value)
        except SchedulerError as error:
            self._history.write("signal_unknown", job=job_id, why=_text(error))
        else:
            facts = {"value": told.value, "won": told.won, "timed_out": told.timed_out}
            self._history.write("signalled", job=job_id, **facts)

    def release(self) -> None:
        """Release the sequences that are blocked."""
        try:
            release_sequences(self._scheduler, self._history)
        except SchedulerError as error:
            self._history.write("not_released", why=_text(error))

    def restart(self, name: str) -> None:
        """Restart a service."""
        self.stopped.add(name)
        self._serve(name, lambda: self._scheduler.restart_service(name))

    def start_services(self) -> None:
        """Start what we may have stopped, by now or before we were killed."""
        for name in sorted(self.stopped):
            self._serve(name, lambda name=name: start_service(self._scheduler, name))  # type: ignore[misc]

    def _serve(self, name: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except SchedulerError as error:
            self._history.write("not_served", service=name, why=_text(error))
        else:
            self.stopped.discard(name)
