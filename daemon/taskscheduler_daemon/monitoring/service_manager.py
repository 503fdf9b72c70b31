"""ServiceManager: tells systemd how this process is, by the protocol of sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Self

logger = logging.getLogger(__name__)

_SOCKET, _USEC, _PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"

_LONGEST_STATUS = 200  #: characters


class ServiceManager:
    """Sends datagrams to the socket that the service manager has named; never waits for it."""

    def __init__(self, address: str, watchdog: float | None = None) -> None:
        """`watchdog`: the seconds within which the service manager wants a sign of life; None: it wants none."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog
        self._status = ""

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str] | None = None) -> Self | None:
        """Returns the one that has started this process, or None; takes its variables away from what this one starts.

        So jobs cannot speak for their node.
        """
        variables = os.environ if environment is None else environment
        address, usec, pid = (variables.pop(name, "") for name in (_SOCKET, _USEC, _PID))
        if not address.startswith(("/", "@")):  # else none, or one of another kind, such as vsock
            return None
        is_ours = pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if is_ours and usec.isdecimal() and int(usec) else None)

    def ready(self) -> bool:
        """Says that the start is over; returns whether that arrived."""
        return self._send("READY=1")

    def stopping(self) -> bool:
        """Says that the process begins to end; returns whether that arrived."""
        return self._send("STOPPING=1")

    def alive(self) -> bool:
        """Gives a sign of life; returns whether it arrived."""
        return self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Says in a line how the process is, for people who ask with `systemctl status`, unless it was said before."""
        line = "".join(one if one.isprintable() else " " for one in text[:_LONGEST_STATUS])
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def _send(self, message: str) -> bool:
        # a socket for each message: none is left open that a fork could inherit
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(message.encode(errors="replace"), self._address)
            except OSError as error:
                logger.debug("the service manager does not listen", extra={"reason": str(error)})
                return False
        return True
