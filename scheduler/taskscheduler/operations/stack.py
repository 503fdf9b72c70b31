"""Asks the node of a running job where the job is, by a question in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidStateError, JobNotFoundError, NoAnswerError
from taskscheduler.model.attempts.stack import Stack, read_stack
from taskscheduler.model.control.questions import Question
from taskscheduler.model.document import Document
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import NodeState, silence_of, state_of
from taskscheduler.model.sound import sound, status_of
from taskscheduler.store import Store


def ask_for_stack(store: Store, job_id: Any, seconds: float) -> Question:
    """Asks where a job is, for so many seconds.

    JobNotFoundError; InvalidStateError if no node runs it; NoAnswerError if its node has fallen silent.
    """
    job = store.jobs.get(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    boot = sound(job, "boot")
    if status_of(job) is not Status.PROCESSING or boot is None or not isinstance(job["_id"], ObjectId):
        raise InvalidStateError(_refusal(job))
    _check_node(store, job, boot)
    until = store.clock.now() + timedelta(seconds=seconds)
    question = Question(ObjectId(), job["_id"], sound(job, "attempt", 0), boot, until)
    store.questions.ask(question)
    return question


def _check_node(store: Store, job: Document, boot: ObjectId) -> None:
    node, name = store.nodes.find(boot), sound(job, "node", "?")
    if node is None:
        raise NoAnswerError(f"the node {name} that runs job {job['_id']} is gone; other nodes take the job over")
    if state_of(node) not in (NodeState.UP, NodeState.DRAINING):
        raise NoAnswerError(
            f"the node {name} that runs job {job['_id']} has been silent for {silence_of(node):.0f} s; "
            "other nodes take the job over when its lease has ended"
        )


def _refusal(job: Document) -> str:
    name, program = id_text(job["_id"]), sound(job, "program")
    if program is not None and status_of(job) is Status.PROCESSING:
        pid, host = program.get("pid"), program.get("host")
        return (
            f"job {name} is a program that no node runs: process {pid!r:.20} on {host!r:.100}; "
            f"look at it there, for example with `py-spy dump --pid {pid!r:.20}`"
        )
    return f"job {name} is {status_of(job).label}; only a job that runs has a stack"


def stack_answered(store: Store, question: Question) -> Stack | None:
    """Returns the answer to a question; None if there is none yet. InvalidStateError if the job has ended meanwhile."""
    answer = store.questions.answered(question.id)
    if answer is None:
        return None
    if "error" in answer:
        raise InvalidStateError(f"job {question.job}: {answer['error']}")
    return read_stack(answer)


def late(question: Question, seconds: float) -> NoAnswerError:
    """Returns the error for a question that was not answered within so many seconds."""
    return NoAnswerError(
        f"no node has said within {seconds:g} s where job {question.job} is; "
        "it may have ended, or its node is busy: try again with a longer timeout"
    )
