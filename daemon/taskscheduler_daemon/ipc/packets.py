"""Packets between manager and worker: one message each on a SEQPACKET socket, larger ones through a memory file."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

PACKET = 16 * 1024  #: larger messages travel in a file whose descriptor is passed

_ONE_DESCRIPTOR = socket.CMSG_SPACE(4)

_MARK = b"\0"  #: the packet that comes with a descriptor; no message begins with it


def pair() -> tuple[socket.socket, socket.socket]:
    """Returns two connected sockets that keep message borders."""
    kind = socket.SOCK_SEQPACKET if hasattr(os, "memfd_create") else socket.SOCK_DGRAM
    return socket.socketpair(socket.AF_UNIX, kind)


def send(end: socket.socket, message: bytes) -> bool:
    """Sends a message; False if the socket is full (non-blocking) or the other end is closed."""
    try:
        if len(message) <= PACKET:
            end.send(message)
        else:
            _send_file(end, message)
    except (BlockingIOError, InterruptedError, BrokenPipeError, ConnectionError):
        return False
    return True


def _send_file(end: socket.socket, message: bytes) -> None:
    with _memory_file() as file:
        file.write(message)
        file.flush()
        socket.send_fds(end, [_MARK], [file.fileno()])


def _memory_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("taskscheduler"), "wb")
    return tempfile.TemporaryFile()


def receive(end: socket.socket, flags: int = 0) -> bytes | None:
    """Returns the next message; None if the other end is closed. Raises BlockingIOError where it would have to wait."""
    # not socket.recv_fds: it ignores its argument `flags`
    message, ancillary, _, _ = end.recvmsg(PACKET, _ONE_DESCRIPTOR, flags)
    if not ancillary:
        return message or None
    descriptor = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def drain(end: socket.socket) -> Iterator[bytes]:
    """Yields all messages that are in a non-blocking socket now."""
    while True:
        try:
            message = receive(end)
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        if message is None:
            return
        yield message


def receive_nowait(inbox: socket.socket) -> bytes | None:
    """Takes one message out of a worker's end; None if there is none. The manager recalls unread runs so."""
    try:
        return receive(inbox, socket.MSG_DONTWAIT)
    except (BlockingIOError, InterruptedError, ConnectionError):
        return None
