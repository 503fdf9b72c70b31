"""Puts a new job under the controls that its options name, and in the list in which it waits for them."""

from __future__ import annotations

from collections.abc import Sequence

from taskscheduler.model.control.keys import LIMIT, RATE, key, kind_and_name
from taskscheduler.model.control.limits import filled
from taskscheduler.model.document import Document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.solo import Solo, solo_key
from taskscheduler.store import Store


def put_under_controls(document: Document, options: JobOptions, solo: Solo) -> None:
    """Writes the controls of a new job into its document, with its values in the names; `solo`: of its class.

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


def put_in_lists(store: Store, documents: Sequence[Document]) -> None:
    """Gives new jobs their turns in sequences, and puts those for which only a rate decides into the list of that.

    From the list of the limit they would be moved there, which is one more write for each.
    """
    store.sequences.number(documents)
    for document in documents:
        kind, name = kind_and_name(document.get("blocked", ""))
        if kind == LIMIT and store.controls.current().has_rate_only(name):
            document["blocked"] = key(RATE, name)
