"""Expressions for what a bad end means for the flow of a job."""

from __future__ import annotations

from taskscheduler.model.document import Document


def bad_effects(*effects: str) -> Document:
    """Expression for the effects of a job that ends badly, with that on its flow if it has one."""
    has_flow = {"$eq": [{"$type": "$flow"}, "objectId"]}
    return {"$concatArrays": [[*effects], {"$cond": [has_flow, ["flow"], []]}]}


def still_open() -> Document:
    """Expression for the joins that wait in vain for a job that ends badly: all but those that do not mind.

    Nothing for a job of no flow.
    """
    soft = {"$concatArrays": [{"$cond": [{"$isArray": "$soft"}, "$soft", []]}, ["$flow"]]}
    left: Document = {"$setDifference": [{"$cond": [{"$isArray": "$open"}, "$open", []]}, soft]}
    return {"$cond": [{"$eq": [left, []]}, "$$REMOVE", left]}
