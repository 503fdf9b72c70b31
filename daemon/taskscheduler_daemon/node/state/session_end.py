"""SessionEnd: why a session of a node ended."""

from __future__ import annotations

from enum import Enum, auto


class SessionEnd(Enum):
    """Why a session ended; after most ends the node begins another one."""

    STOPPED = auto()
    MANAGER_DIED = auto()
    MANAGER_ENDED = auto()  #: in good order, but the node was not asked to stop
    MANAGER_NOT_BUILT = auto()  #: the manager's process ended before there was a manager
    LEASE_LOST = auto()
    BROKEN = auto()  #: no worker can be built, or no manager
    CRASHED = auto()  #: a thread of the node ended by an unexpected exception
