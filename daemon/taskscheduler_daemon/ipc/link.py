"""The two channels and the lifeline between a node and its manager, made before the fork."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.begun_page import BegunPage
from taskscheduler_daemon.ipc.channel import Channel, SocketQueue, descriptors, open_channel
from taskscheduler_daemon.system.private_descriptors import keep_private
from taskscheduler_daemon.system.resource_limits import ResourceLimits


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """The settings that the manager and its workers start with."""

    stop_timeout: float  #: seconds that running jobs have when the node stops
    kill_grace: float  #: seconds between SIGTERM and SIGKILL to a job
    progress_limit: float  #: seconds between two reports of the progress of a job
    max_payload: int  #: bytes of a result
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    keep_children: bool = False  #: whether what a job leaves running lives as long as its worker
    capture: bool = True  #: whether what jobs print is stored


@dataclass(slots=True)
class ManagerEnd:
    """The manager's end of the link."""

    down: Channel  #: from the node
    up: Channel  #: to the node
    lifeline: int  #: readable as soon as the node is dead
    settings: ManagerSettings
    begun: BegunPage  #: what its workers have begun
    outputs: socket.socket  #: to the node, for its ends of the output pipes of workers

    @property
    def up_writable(self) -> int:
        """The descriptor that is writable when the channel to the node has room."""
        return writable(self.up)


class Link:
    """Both ends of the link between a node and its manager, made before the fork."""

    def __init__(self, settings: ManagerSettings) -> None:
        self.down = open_channel()
        self.up = open_channel()
        self._lifeline, self._held = os.pipe()
        self._settings = settings
        self.begun = BegunPage()
        self.manager_pid = 0  #: of the manager, once it is forked
        self.outputs, self._outputs_of_manager = socket.socketpair(socket.AF_UNIX, packets.KIND)
        self.outputs.setblocking(False)
        keep_private(*self.manager_descriptors(), self._held, self.outputs.fileno())

    def manager_end(self) -> ManagerEnd:
        """Returns what the manager uses."""
        return ManagerEnd(self.down, self.up, self._lifeline, self._settings, self.begun, self._outputs_of_manager)

    def manager_descriptors(self) -> list[int]:
        """Returns the descriptors that the manager's process keeps open: not the node's end of the lifeline."""
        return [*descriptors(self.down), *descriptors(self.up), self._lifeline, self._outputs_of_manager.fileno()]

    def forked(self, manager_pid: int) -> None:
        """Notes the manager, and closes what only it uses, in the node after the fork."""
        self.manager_pid = manager_pid
        self._outputs_of_manager.close()
        os.close(self._lifeline)
        self._lifeline = -1

    def close(self) -> None:
        """Closes everything; a manager that still lives takes it as the death of the node."""
        self.down.close()
        self.up.close()
        self.begun.close()
        self.outputs.close()
        self._outputs_of_manager.close()
        os.close(self._held)
        if self._lifeline >= 0:
            os.close(self._lifeline)


def writable(channel: Channel) -> int:
    """Returns the descriptor that is writable when a channel has room."""
    return channel.writer if isinstance(channel, SocketQueue) else channel.fileno()
