"""Packets between manager and worker: small, large, taken back, and what a closed or full socket means."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest

from taskscheduler_daemon.ipc import packets

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Pair]:
    manager, worker = packets.pair()
    with manager, worker:
        manager.setblocking(False)
        yield manager, worker


def numbered(number: int, size: int = 8) -> bytes:
    return b"\1" + number.to_bytes(4, "big") * (size // 4)


@pytest.mark.parametrize(
    "size", [1, 100, packets.PACKET - 1, packets.PACKET, packets.PACKET + 1, 300_000, 8 * 1024 * 1024]
)
def test_a_message_of_any_size_arrives_whole(ends: Pair, size: int) -> None:
    manager, worker = ends
    message = bytes([7]) + os.urandom(size - 1)
    assert packets.send(manager, message)
    assert packets.receive(worker) == message


@pytest.mark.parametrize("sizes", [[10, 20, 30], [packets.PACKET + 1] * 3, [10, 100_000, 1, 200_000, 5]])
def test_messages_keep_their_borders_and_their_order(ends: Pair, sizes: list[int]) -> None:
    manager, worker = ends
    sent = [numbered(number, size) for number, size in enumerate(sizes)]
    for message in sent:
        assert packets.send(worker, message)
    assert list(packets.drain(manager)) == sent
    assert list(packets.drain(manager)) == []


def test_large_messages_leave_no_descriptors_behind(ends: Pair) -> None:
    manager, worker = ends
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    for number in range(20):
        assert packets.send(manager, numbered(number, 100_000))
        assert packets.receive(worker) == numbered(number, 100_000)
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_socket_takes_nothing_and_loses_nothing(ends: Pair) -> None:
    manager, worker = ends
    sent = []
    for number in range(100_000):
        if not packets.send(manager, numbered(number, 1000)):
            break
        sent.append(numbered(number, 1000))
    assert 0 < len(sent) < 100_000
    assert packets.receive(worker) == sent[0]
    worker.setblocking(False)
    assert list(packets.drain(worker)) == sent[1:]
    assert packets.send(manager, b"again")


def test_a_closed_end_is_told_from_a_silent_one(ends: Pair) -> None:
    manager, worker = ends
    assert list(packets.drain(manager)) == []
    packets.send(worker, b"last words")
    worker.close()
    assert list(packets.drain(manager)) == [b"last words"]
    assert not packets.send(manager, b"x")
    assert not packets.send(manager, b"x" * 100_000)


def test_a_worker_is_told_to_end_by_a_shutdown_after_its_last_job(ends: Pair) -> None:
    manager, worker = ends
    packets.send(manager, b"job")
    manager.shutdown(socket.SHUT_WR)
    assert packets.receive(worker) == b"job"
    assert packets.receive(worker) is None
    assert packets.send(worker, b"report")
    assert list(packets.drain(manager)) == [b"report"]


# -- what none of our processes sends ---------------------------------------------------------------------------------


def opened(what: str) -> int:
    """A descriptor of something that must not be read to its end."""
    if what == "pipe":
        reader, writer = os.pipe()
        os.close(writer)
        return reader
    if what == "file":
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    if what == "endless":
        return os.open("/dev/zero", os.O_RDONLY)
    descriptor = os.memfd_create("large")
    os.ftruncate(descriptor, 1 << 40)
    return descriptor


@pytest.mark.parametrize("what", ["pipe", "file", "endless", "large"])
def test_a_strange_descriptor_is_refused_and_closed(ends: Pair, what: str) -> None:
    manager, worker = ends
    descriptor, before = opened(what), len(os.listdir("/proc/self/fd"))
    socket.send_fds(worker, [b"\0"], [descriptor])
    with pytest.raises(packets.MalformedMessageError):
        packets.receive(manager, most=1 << 20)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(descriptor)


@pytest.mark.parametrize("count", [0, 2, 200])
def test_more_descriptors_than_one_are_refused_and_none_is_kept(ends: Pair, count: int) -> None:
    manager, worker = ends
    descriptor, before = os.memfd_create("x"), len(os.listdir("/proc/self/fd"))
    socket.send_fds(worker, [b"\0" * 20_000 if not count else b"\0"], [descriptor] * count)
    with pytest.raises(packets.MalformedMessageError):
        packets.receive(manager)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(descriptor)


def test_a_descriptor_with_another_message_is_refused(ends: Pair) -> None:
    manager, worker = ends
    with os.fdopen(os.memfd_create("x")) as file:
        socket.send_fds(worker, [b"report"], [file.fileno()])
    with pytest.raises(packets.MalformedMessageError):
        packets.receive(manager)


def test_one_worker_that_sends_without_end_leaves_others_their_turn(ends: Pair) -> None:
    manager, worker = ends
    taken = 0
    for _ in packets.drain(manager):
        break
    packets.send(worker, b"more")
    for _ in packets.drain(manager):
        taken += 1
        packets.send(worker, b"more")
    assert taken == 1000


# -- taking packets back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 100_000])
def test_a_packet_that_was_not_read_can_be_taken_back(ends: Pair, size: int) -> None:
    manager, worker = ends
    for number in range(3):
        packets.send(manager, numbered(number, size))
    assert packets.receive(worker) == numbered(0, size)
    assert packets.receive_nowait(worker) == numbered(1, size)
    assert packets.receive_nowait(worker) == numbered(2, size)
    assert packets.receive_nowait(worker) is None


def test_nothing_is_taken_from_an_empty_or_a_closed_socket(ends: Pair) -> None:
    manager, worker = ends
    assert packets.receive_nowait(worker) is None
    manager.close()
    assert packets.receive_nowait(worker) is None


def test_taking_back_never_waits_although_the_worker_would(ends: Pair) -> None:
    _, worker = ends
    assert worker.getblocking()
    assert packets.receive_nowait(worker) is None


@pytest.mark.parametrize("size", [8, 20_000])
def test_each_packet_is_got_by_exactly_one_side(ends: Pair, size: int) -> None:
    manager, worker = ends
    manager.setblocking(True)
    count, got = 400, []

    def work() -> None:
        while (message := packets.receive(worker)) is not None:
            got.append(message)

    thread = threading.Thread(target=work)
    thread.start()
    stolen = []
    for number in range(count):
        packets.send(manager, numbered(number, size))
        if number % 3 == 0:
            packet = packets.receive_nowait(worker)
            stolen += [packet] if packet is not None else []
    manager.shutdown(socket.SHUT_WR)
    thread.join(30)
    assert not thread.is_alive()
    assert sorted(got + stolen) == sorted(numbered(number, size) for number in range(count))
    assert got == sorted(got)
    assert stolen == sorted(stolen)
