"""Looks into running jobs: the methods of `scheduler.inspect`."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.clock import Backoff, Deadline
from taskscheduler.facade.methods import Methods
from taskscheduler.model.attempts.stack import Stack
from taskscheduler.model.checks import Seconds, seconds
from taskscheduler.model.control.questions import Question
from taskscheduler.operations.stack import ask_for_stack, late, stack_answered
from taskscheduler.store.driver_errors import translated
from taskscheduler.validation import job_id as checked_id

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2  #: seconds between two looks for the answer

DEFAULT_TIMEOUT = 10.0  #: seconds


class Inspection(Methods):
    """Looks into running jobs."""

    def stack(self, job_id: ObjectId | str, timeout: Seconds = DEFAULT_TIMEOUT) -> Stack:
        """Returns where a running job is right now: the frames of all threads of its worker, and of its own task.

        Its node answers through the database, so this works from any host. Lines of the code and local paths are
        shown, the values of variables are not. JobNotFoundError; InvalidStateError if no node runs the job;
        NoAnswerError if its node is silent, or does not answer within `timeout` seconds.
        """
        limit = timeout_of(timeout)
        question = self.ask(job_id, limit)
        deadline, backoff = Deadline(limit, self._core.clock), Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        try:
            while (answer := self.look(question)) is None:
                if deadline.passed:
                    raise late(question, limit)
                deadline.pause(backoff.next())
            return answer
        finally:
            self.forget(question)

    def ask(self, job_id: ObjectId | str, timeout: float) -> Question:
        """Asks where a job is, without waiting; for `stack`."""
        wanted = checked_id(job_id)
        with translated():
            return ask_for_stack(self._core.store, wanted, timeout)

    def look(self, question: Question) -> Stack | None:
        """Returns the answer, if it is there; for `stack`."""
        with translated():
            return stack_answered(self._core.store, question)

    def forget(self, question: Question) -> None:
        """Deletes a question; for `stack`."""
        with translated():
            self._core.store.questions.forget(question)


def timeout_of(value: Seconds) -> float:
    """Returns the seconds to wait for an answer. InvalidOptionError."""
    return float(seconds("timeout", value, least=0.1))
