"""Takes away what keeps limits, sequences and solo keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bson import ObjectId

from taskscheduler.store.attempts import bad_ends, ending
from taskscheduler.store.control import admission
from taskscheduler.store.control.sequences import SequenceStore
from taskscheduler.store.programs import ProgramStore
from tests.faults.sabotage.patching import replace_in


def no_turn() -> None:
    """Each job that is let in gets places that nobody else can have."""
    replace_in(admission, "gate_of", lambda keys, places: [f"{place} {ObjectId()}" for place in places])


def no_place_of_what_waits_again() -> None:
    """A job that is handed back gives its places away, and begins again without them."""
    _rearmed_with({"$unset": ["gate"]})


def no_turn_over_retries() -> None:
    """A job that is to be tried again comes last in its sequence."""
    now = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
    _rearmed_with({"$set": {"turn": {"$cond": [{"$gt": ["$turn", 0]}, now, "$$REMOVE"]}}})


def _rearmed_with(stage: dict[str, Any]) -> None:
    rearm = ending.rearm_update
    replace_in(ending, "rearm_update", lambda one: [*rearm(one), stage])


def no_freed_place() -> None:
    """A job keeps its places when it has ended."""
    done, end = ending.done_update, ending.final_update
    replace_in(ending, "done_update", lambda one: done(replace(one, keys=())))
    for module in (ending, bad_ends):
        replace_in(module, "final_update", lambda one: end(replace(one, keys=())))


def no_order() -> None:
    """The turn of a sequence goes to the job that was added last."""

    def last(self: SequenceStore, name: str) -> Any:
        return self._jobs.find_one({"sequence": name, "turn": {"$exists": True}}, sort=[("turn", -1)])

    replace_in(SequenceStore, "head", last)


def no_failure_that_blocks() -> None:
    """A failed job leaves its sequence whatever its options say."""
    end = ending.final_update
    for module in (ending, bad_ends):
        replace_in(module, "final_update", lambda one: end(replace(one, keeps_turn=False)))


def no_turn_of_programs() -> None:
    """A program begins whoever has the turn of its key."""
    begin = ProgramStore.begin

    def begun(self: ProgramStore, document: dict[str, Any]) -> Any:
        return begin(self, {**document, "gate": f"{document['gate']} {ObjectId()}"})

    replace_in(ProgramStore, "begin", begun)


def no_end_of_the_silent() -> None:
    """Nobody ends the record of a program that says nothing any more."""
    replace_in(ProgramStore, "end_silent", lambda self, query: [])
