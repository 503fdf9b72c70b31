"""Channels between a node and its worker manager: POSIX message queues, or sockets where there are none.

Queues are created with mode 0600 and unlinked at once, so no name is left to attack or to clean up; the child inherits
them. Both ends share one open file description, and with it O_NONBLOCK: both must poll.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from typing import Any, Protocol

from taskscheduler_daemon.ipc.framing import FrameReader, FrameWriter

try:
    import posix_ipc
except ImportError:  # the extra `daemon` is not installed, or the system has no POSIX queues
    posix_ipc = None

logger = logging.getLogger(__name__)

#: Linux lets anybody have 10 messages of 8 KiB; RLIMIT_MSGQUEUE (800 KiB per user) may leave room for less
_SIZES = ((10, 8192), (10, 2048))


class Channel(Protocol):
    """One direction between two processes, in frames of limited size. Never blocks."""

    frame_size: int

    def fileno(self) -> int:
        """Returns the descriptor that is readable when a frame has arrived."""
        ...

    def send(self, frame: bytes) -> bool:
        """Sends a frame; False if the channel is full or the other end is closed."""
        ...

    def receive(self) -> bytes | None:
        """Returns the next frame; None if there is none."""
        ...

    def close(self) -> None:
        """Closes both ends."""
        ...


class PosixQueue:
    """A POSIX message queue without a name."""

    def __init__(self, depth: int, frame_size: int) -> None:
        self.frame_size = frame_size
        name = f"/taskscheduler-{uuid.uuid4().hex}"
        self._queue: Any = posix_ipc.MessageQueue(
            name, posix_ipc.O_CREX, mode=0o600, max_messages=depth, max_message_size=frame_size
        )
        self._queue.unlink()
        self._queue.block = False

    def fileno(self) -> int:
        return int(self._queue.mqd)

    def send(self, frame: bytes) -> bool:
        try:
            self._queue.send(frame)
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            return False
        return True

    def receive(self) -> bytes | None:
        try:
            return bytes(self._queue.receive()[0])
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            return None

    def close(self) -> None:
        self._queue.close()


class SocketQueue:
    """A channel on a pair of sockets, for systems without POSIX queues or with none left."""

    frame_size = 8192

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    @property
    def writer(self) -> int:
        """The descriptor that is writable when there is room."""
        return self._writer.fileno()

    def send(self, frame: bytes) -> bool:
        try:
            self._writer.send(frame)
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        return True

    def receive(self) -> bytes | None:
        try:
            return self._reader.recv(self.frame_size)
        except (BlockingIOError, InterruptedError):
            return None

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


def open_channel() -> Channel:
    """Opens a POSIX queue as large as this user may have, else a pair of sockets."""
    if posix_ipc is not None:
        reason = ""
        for depth, size in _SIZES:
            try:
                return PosixQueue(depth, size)
            except (OSError, ValueError, posix_ipc.Error) as error:
                reason = str(error)
        logger.warning("no POSIX message queue, using sockets", extra={"reason": reason})
    return SocketQueue()


def descriptors(channel: Channel) -> list[int]:
    """Returns all descriptors behind a channel, for a child to keep."""
    return [channel.fileno(), channel.writer] if isinstance(channel, SocketQueue) else [channel.fileno()]


class Sender:
    """Queues messages of any size before a channel. Safe to use from many threads."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._writer = FrameWriter(channel.frame_size)
        self._stuck: bytes | None = None
        self._lock = threading.Lock()

    def push(self, *messages: bytes, first: bool = False) -> None:
        """Queues messages; `first`: before all others that are not partly sent, behind those that went first before."""
        with self._lock:
            if not first:
                self._writer.push(*messages)
                return
            for message in messages:
                self._writer.push_first(message)

    def flush(self) -> bool:
        """Sends as much as the channel takes now; False if something is left."""
        with self._lock:
            while self._stuck is not None or self._writer:
                frame = self._stuck if self._stuck is not None else self._writer.frame()
                if not self._channel.send(frame):
                    self._stuck = frame
                    return False
                self._stuck = None
            return True


class Receiver:
    """Reads whole messages from a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reader = FrameReader()

    def receive(self, most_frames: int = 64) -> list[bytes]:
        """Returns the messages that have arrived, from at most so many frames."""
        messages: list[bytes] = []
        for _ in range(most_frames):
            frame = self._channel.receive()
            if frame is None:
                break
            faults = self._reader.faults
            messages += self._reader.feed(frame)
            if self._reader.faults != faults:
                logger.error("damaged or missing frame", extra={"faults": self._reader.faults, "pid": os.getpid()})
        return messages
