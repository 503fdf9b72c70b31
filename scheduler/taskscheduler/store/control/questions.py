"""Questions to nodes and their answers. Both are there only while somebody waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from taskscheduler.clock import ServerClock
from taskscheduler.model.control.questions import STACK, Question
from taskscheduler.model.document import Document
from taskscheduler.model.options import ANSWERS, CONTROLS
from taskscheduler.store.lenient_reads import read


class QuestionStore:
    """The questions stand among the settings, which all nodes read; the answers in a collection of their own."""

    def __init__(self, database: Database[Document], clock: ServerClock) -> None:
        self._questions = database[CONTROLS]
        self._answers = database[ANSWERS]
        self._clock = clock

    def ask(self, question: Question) -> None:
        """Stores a question, and deletes those for which nobody waits any more."""
        now = self._clock.now()
        first, last = f"{STACK}:", f"{STACK};"
        self._questions.delete_many({"_id": {"$gt": first, "$lt": last}, "until": {"$lte": now}})
        self._answers.delete_many({"until": {"$lte": now}})
        self._questions.replace_one({"_id": question.key}, question.stored(), upsert=True)

    def answer(self, question: Question, content: Mapping[str, Any]) -> None:
        """Stores an answer; a second one changes nothing."""
        stored = {**content, "job": question.job, "attempt": question.attempt, "at": self._clock.now()}
        query = {"_id": question.id}
        self._answers.update_one(query, {"$setOnInsert": {**stored, "until": question.until}}, upsert=True)

    def answered(self, question_id: ObjectId) -> Document | None:
        """Returns the answer to a question; None if there is none yet."""
        found = read(self._answers, lambda answers: answers.find({"_id": question_id}).limit(1))
        return found[0] if found else None

    def forget(self, question: Question) -> None:
        """Deletes a question and its answer."""
        self._questions.delete_one({"_id": question.key})
        self._answers.delete_one({"_id": question.id})
