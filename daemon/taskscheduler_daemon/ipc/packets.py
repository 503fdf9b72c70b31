"""Packets between manager and worker: one message each on a SEQPACKET socket, larger ones through a memory file."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
from array import array
from collections.abc import Iterator
from typing import IO

PACKET = 16 * 1024  #: larger messages travel in a file whose descriptor is passed

#: of sockets that keep message borders
KIND = socket.SOCK_SEQPACKET if hasattr(os, "memfd_create") else socket.SOCK_DGRAM

_ONE_DESCRIPTOR = socket.CMSG_SPACE(4)

_CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)  # a plain number: `&` with a member of a Flag takes a microsecond

_MARK = b"\0"  #: the packet that comes with a descriptor; no message begins with it

_MOST_AT_ONCE = 1000  #: messages of one worker before the others get their turn


class MalformedMessageError(ValueError):
    """A packet that none of our processes sends: somebody else has written to the socket."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Returns two connected sockets that keep message borders."""
    return socket.socketpair(socket.AF_UNIX, KIND)


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
    with memory_file() as file:
        file.write(message)
        file.flush()
        socket.send_fds(end, [_MARK], [file.fileno()])


def memory_file() -> IO[bytes]:
    """Opens a file that has no name, to be shared with other processes."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("taskscheduler"), "wb")
    return tempfile.TemporaryFile()


def receive(end: socket.socket, flags: int = 0, most: int | None = None) -> bytes | None:
    """Returns the next message; None if the other end is closed. Raises BlockingIOError where it would have to wait.

    Raises MalformedMessageError for a packet that `send` does not make, or a message of more than `most` bytes.
    """
    # not socket.recv_fds: it ignores its argument `flags`
    message, ancillary, found, _ = end.recvmsg(PACKET, _ONE_DESCRIPTOR, flags)
    if not ancillary and not found & _CUT:
        return message or None
    descriptors = array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    try:
        if found & _CUT or len(descriptors) != 1 or message != _MARK:
            raise MalformedMessageError("it is larger than a packet, or comes with strange descriptors")
        return _content(descriptors[0], most)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _content(descriptor: int, most: int | None) -> bytes:
    """Returns the content of a memory file. Any other could keep its reader waiting, or never end."""
    if not _is_memory_file(descriptor):
        raise MalformedMessageError("its descriptor is no memory file")
    size = os.fstat(descriptor).st_size
    if most is not None and size > most:
        raise MalformedMessageError(f"it takes {size} bytes, more than a worker may send ({most})")
    return os.pread(descriptor, size, 0)


def _is_memory_file(descriptor: int) -> bool:
    if not hasattr(os, "memfd_create"):
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def drain(end: socket.socket, most: int | None = None) -> Iterator[bytes]:
    """Yields the messages that are in a non-blocking socket now, at most a thousand. Raises as `receive`."""
    for _ in range(_MOST_AT_ONCE):
        try:
            message = receive(end, most=most)
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
