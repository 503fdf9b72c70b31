"""Nodes: the methods of `scheduler.nodes`."""

from __future__ import annotations

from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.changes import reason_option
from taskscheduler.operations.control.drain import drain
from taskscheduler.store.driver_errors import translated


class Nodes(Methods):
    """The nodes that run jobs."""

    @action("node.drain", target="name")
    def drain(self, name: str, reason: str | None = None) -> int:
        """Has the nodes of this name, or the one of this id, take no new jobs, finish those that they have, and end.

        Returns how many nodes these are. A node obeys at its next heartbeat, within a third of its lease. It waits for
        its jobs however long they take; its services then go on elsewhere. A node that drains cannot be called back.
        NodeNotFoundError, InvalidOptionError.
        """
        if not isinstance(name, str) or not name:
            raise InvalidOptionError(f"option name must be the name or the id of a node, not {name!r:.60}")
        reason_option(reason)
        with translated():
            return drain(self._core.store, name)
