"""What a node makes of the messages that everybody who adds or cancels jobs leaves in the queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.lifecycle import Status
from taskscheduler_daemon.caretaker import Caretaker
from taskscheduler_daemon.claimer import Claimer
from taskscheduler_daemon.custody import Custody

_REMEMBER_WOKEN = 100


class News:
    """Tells those whom it concerns."""

    def __init__(self, claimer: Claimer, caretaker: Caretaker, custody: Custody) -> None:
        self._claimer = claimer
        self._caretaker = caretaker
        self._custody = custody
        self._woken_ids: deque[ObjectId] = deque(maxlen=_REMEMBER_WOKEN)  #: jobs whose message is still to come

    def missed(self) -> None:
        """Jobs may have been added or cancelled without our hearing of it."""
        self._claimer.look_everywhere()
        self._caretaker.look_for_due()

    def heard(self, message: dict[str, Any]) -> None:
        """One message, or a job that wakes us itself."""
        if "stop" in message:
            self._custody.cancel(self._caretaker.ended(message["stop"]))
        elif message.get("wake"):
            self._woken(message)
        else:
            self._added(message)

    def _woken(self, job: dict[str, Any]) -> None:
        self._woken_ids.append(job["_id"])
        forced = job["options"]["force_spawn"] or "async" in job
        self._look([job["_id"]], [job["queue"]], forced, job["status"] == Status.POSTPONED)

    def _added(self, message: dict[str, Any]) -> None:
        ids = message.get("jobs", ())
        self._custody.put_back(ids)
        later = bool(message.get("later", True))
        if not later and set(ids) <= set(self._woken_ids):
            return  # these jobs came before their message; what is re-armed always says `later`
        self._look(ids, message.get("queues", ()), message.get("forced", True), later)

    def _look(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        self._claimer.heard(ids, queues, forced, later)
        if later:
            self._caretaker.look_for_due()
