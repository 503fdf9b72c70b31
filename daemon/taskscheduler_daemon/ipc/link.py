"""The two channels and the lifeline between a node and its manager, and which end keeps what."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from taskscheduler_daemon.ipc.channel import Channel, SocketQueue, descriptors, open_channel
from taskscheduler_daemon.system.resource_limits import ResourceLimits


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """What the manager and its workers are told at birth."""

    stop_timeout: float
    kill_grace: float
    progress_limit: float  #: seconds
    max_payload: int
    limits: ResourceLimits = field(default_factory=ResourceLimits)


@dataclass(slots=True)
class ManagerEnd:
    """What the manager keeps."""

    down: Channel  #: from the node
    up: Channel  #: to the node
    lifeline: int  #: readable as soon as the node is dead
    settings: ManagerSettings

    @property
    def up_writable(self) -> int:
        return writable(self.up)


class Link:
    """Both ends, made before the fork."""

    def __init__(self, settings: ManagerSettings) -> None:
        self.down = open_channel()
        self.up = open_channel()
        self._lifeline, self._held = os.pipe()
        self._settings = settings

    def manager_end(self) -> ManagerEnd:
        return ManagerEnd(self.down, self.up, self._lifeline, self._settings)

    def manager_descriptors(self) -> list[int]:
        """What the manager's process keeps open: not the node's end of the lifeline."""
        return [*descriptors(self.down), *descriptors(self.up), self._lifeline]

    def forked(self) -> None:
        """In the node, after the fork: let go of the manager's end of the lifeline."""
        os.close(self._lifeline)
        self._lifeline = -1

    def close(self) -> None:
        """Let go of everything; a manager that still lives takes it as the node's death."""
        self.down.close()
        self.up.close()
        os.close(self._held)
        if self._lifeline >= 0:
            os.close(self._lifeline)


def writable(channel: Channel) -> int:
    """The descriptor that tells when a channel has room."""
    return channel.writer if isinstance(channel, SocketQueue) else channel.fileno()
