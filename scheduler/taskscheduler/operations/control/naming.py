"""Puts a new job under the controls that its options name, with the values of the job in the names."""

from __future__ import annotations

from taskscheduler.model.control.limits import filled
from taskscheduler.model.document import Document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.solo import Solo, solo_key


def put_under_controls(document: Document, options: JobOptions, solo: Solo) -> None:
    """Writes the controls of a new job into its document; `solo`: of its class.

    InvalidOptionError if the job has no value for a part in braces.
    """
    if key := solo_key(solo if options.solo is None else options.solo, document["class"]):
        document["solo"] = key
    if options.limits:
        document["limits"] = list(dict.fromkeys(filled("limits", name, document) for name in options.limits))
    if options.sequence is not None:
        document["sequence"] = filled("sequence", options.sequence, document)
    if options.group is not None and not options.force_spawn:  # such a job needs no slot, so it takes no turn
        document["group"] = filled("group", options.group, document)
