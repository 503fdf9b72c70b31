"""ManagerMessages: passes on what the worker manager sends to its node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Receiver
from taskscheduler_daemon.ipc.messages import Kind, Report
from taskscheduler_daemon.node.heartbeat import Heartbeat
from taskscheduler_daemon.node.parts import SessionParts
from taskscheduler_daemon.node.state.session_end import SessionEnd

_REPORT = int(Kind.REPORT)  # a plain number, as a comparison with it is faster: most messages are reports

_REPORTS_AT_ONCE = 250  #: for a moment such attempts are neither in flight nor submitted to be written

MOST_FRAMES = 1_000_000  #: more than a channel holds


class ManagerMessages:
    """Receives messages from the manager and gives each to the part of the node that handles it."""

    def __init__(
        self,
        receiver: Receiver,
        parts: SessionParts,
        heartbeat: Heartbeat,
        announce: Callable[[dict[str, Any]], None],
    ) -> None:
        """`announce` is called with the facts about each worker that was started or has ended."""
        self._receiver = receiver
        self._reports = parts.reports
        self._status = parts.status
        self._capacity = parts.capacity
        self._claimer = parts.claimer
        self._family_signs = parts.family_signs
        self._stacks = parts.stacks
        self._heartbeat = heartbeat
        self._announce = announce
        self.end: SessionEnd | None = None  #: that the manager asks for
        self.is_built = False  #: whether there is a manager: it introduces itself first

    def receive(self) -> bool:
        """Handles a part of what has arrived; returns whether there was anything."""
        received = self._receiver.receive()
        self._handle_all(received)
        return bool(received)

    def receive_all(self) -> None:
        """Handles everything that a manager sent before it ended."""
        self._handle_all(self._receiver.receive(most_frames=MOST_FRAMES))

    def _handle_all(self, received: list[bytes]) -> None:
        """Handles messages in their order, reports that follow each other together."""
        start = 0
        while start < len(received):
            end = start
            while end < len(received) and end - start < _REPORTS_AT_ONCE and received[end][0] == _REPORT:
                end += 1
            if end > start:
                self._reports.all_ended([Report.decode(message) for message in received[start:end]])
                start = end
            else:
                self._handle(received[start])
                start += 1

    def _handle(self, message: bytes) -> None:
        kind = message[0]
        if kind == Kind.ITEM:
            self._reports.item_ended(message)
        elif kind == Kind.PROGRESS:
            self._reports.progressed(Report.decode(message))
        elif kind == Kind.HELD:
            self._reports.held(messages.held_entries(message))
        elif kind == Kind.POOL:
            self._pool_changed(messages.facts_of(message))
        elif kind == Kind.WORKER:
            facts = messages.facts_of(message)
            self._status.worker_changed(facts)
            self._announce(facts)
        elif kind == Kind.KNOWN:
            self._known_changed(messages.known_names(message))
        elif kind == Kind.GONE:
            self._reports.gone(*messages.attempt_of(message))
        elif kind == Kind.SILENT:
            self._family_signs.ask(*messages.attempt_of(message))
        elif kind == Kind.STACK_OF:
            self._stacks.answered(message)
        elif kind == Kind.BROKEN:
            self.end = SessionEnd.BROKEN
        elif kind == Kind.STOPPED:
            self.end = SessionEnd.STOPPED

    def _pool_changed(self, facts: dict[str, Any]) -> None:
        self.is_built = True
        if self._status.pool_changed(facts):
            self._claimer.look_everywhere()
            self._heartbeat.beat_now()

    def _known_changed(self, names: list[str]) -> None:
        if self._status.known_changed(names):
            self._capacity.unknown.forget()
            self._claimer.look_everywhere()
            self._heartbeat.beat_now()
