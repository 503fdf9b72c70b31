"""Real POSIX queues between a node and its manager, and the sockets that stand in for them."""

from __future__ import annotations

import importlib.util
import os
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.eventually import eventually

from taskscheduler_daemon.ipc import channel as channels
from taskscheduler_daemon.ipc.channel import (
    Channel,
    PosixQueue,
    Receiver,
    Sender,
    SocketQueue,
    descriptors,
    open_channel,
)

HAS_POSIX_QUEUES = importlib.util.find_spec("posix_ipc") is not None
posix_only = pytest.mark.skipif(not HAS_POSIX_QUEUES, reason="no POSIX queues here")


def with_room(make: Callable[[], Channel]) -> PosixQueue:
    """A POSIX queue as soon as there is room for it, which all processes of a user share: nodes of other tests end."""

    def made() -> PosixQueue | None:
        try:
            channel = make()
        except OSError:
            return None
        if isinstance(channel, PosixQueue):
            return channel
        channel.close()
        return None

    return eventually(made, 60, "room for a POSIX queue")


MAKERS: list[Any] = [
    pytest.param(lambda: with_room(lambda: PosixQueue(10, 2048)), id="posix", marks=posix_only),
    pytest.param(SocketQueue, id="sockets"),
]


@pytest.fixture(params=MAKERS)
def channel(request: pytest.FixtureRequest) -> Iterator[Channel]:
    make: Callable[[], Channel] = request.param
    made = make()
    yield made
    made.close()


def readable(channel: Channel) -> bool:
    return bool(select.select([channel], [], [], 0)[0])


def collect(receiver: Receiver, sender: Sender, count: int) -> list[bytes]:
    """Send and receive by turns until so many messages have arrived."""
    found: list[bytes] = []
    for _ in range(100_000):
        sender.flush()
        found += receiver.receive()
        if len(found) >= count:
            break
    return found


def test_an_empty_channel_gives_nothing_and_does_not_wait(channel: Channel) -> None:
    assert channel.receive() is None
    assert Receiver(channel).receive() == []
    assert not readable(channel)


def test_frames_arrive_in_order_and_wake_the_reader(channel: Channel) -> None:
    assert channel.send(b"one")
    assert channel.send(b"two")
    assert readable(channel)
    assert [channel.receive(), channel.receive(), channel.receive()] == [b"one", b"two", None]
    assert not readable(channel)


def test_a_full_channel_takes_nothing_more_and_loses_nothing(channel: Channel) -> None:
    sent = []
    for number in range(100_000):
        if not channel.send(number.to_bytes(4, "big")):
            break
        sent.append(number.to_bytes(4, "big"))
    assert 0 < len(sent) < 100_000
    assert not channel.send(b"more")
    assert channel.receive() == sent[0]
    assert channel.send(b"more")
    assert [channel.receive() for _ in sent] == [*sent[1:], b"more"]
    assert channel.receive() is None


@posix_only
def test_a_posix_queue_holds_as_many_frames_as_linux_allows() -> None:
    queue = PosixQueue(10, 2048)
    taken = [queue.send(b"x" * 2048) for _ in range(11)]
    queue.close()
    assert taken == [True] * 10 + [False]


@posix_only
def test_a_posix_queue_leaves_no_name_behind() -> None:
    place = "/dev/mqueue"
    before = set(os.listdir(place)) if os.path.isdir(place) else set()
    queue = PosixQueue(10, 2048)
    after = set(os.listdir(place)) if os.path.isdir(place) else set()
    queue.close()
    assert not {name for name in after - before if name.startswith("taskscheduler")}


@pytest.mark.parametrize("sizes", [[1], [5] * 1000, [100_000], [1, 300_000, 2, 5000, 3], [0, 0, 1]])
def test_messages_of_any_size_arrive_in_order(channel: Channel, sizes: list[int]) -> None:
    messages = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    sender, receiver = Sender(channel), Receiver(channel)
    sender.push(*messages)
    assert collect(receiver, sender, len(messages)) == messages
    assert sender.flush()


def test_a_sender_says_whether_everything_went_out(channel: Channel) -> None:
    sender, receiver = Sender(channel), Receiver(channel)
    assert sender.flush()
    message = b"m" * 1_000_000
    sender.push(message, b"last")
    assert not sender.flush()
    assert not sender.flush()
    assert collect(receiver, sender, 2) == [message, b"last"]
    assert sender.flush()


def test_small_messages_share_frames(channel: Channel) -> None:
    sender = Sender(channel)
    sender.push(*(b"x" * 10 for _ in range(100)))
    assert sender.flush()
    assert Receiver(channel).receive(most_frames=1) != []
    rest = sum(1 for _ in iter(channel.receive, None))
    assert rest <= 1


def test_a_receiver_takes_no_more_frames_than_asked_for(channel: Channel) -> None:
    sender, receiver = Sender(channel), Receiver(channel)
    size = channel.frame_size - 14
    sender.push(*(bytes([number]) * size for number in range(3)))
    sender.flush()
    assert [len(receiver.receive(most_frames=1)) for _ in range(4)] == [1, 1, 1, 0]


def test_an_urgent_message_overtakes_what_has_not_begun(channel: Channel) -> None:
    sender, receiver = Sender(channel), Receiver(channel)
    large = b"l" * 1_000_000
    sender.push(large)
    sender.flush()
    sender.push(b"later")
    sender.push(b"urgent", first=True)
    assert collect(receiver, sender, 3) == [large, b"urgent", b"later"]


def test_messages_of_many_threads_stay_whole(channel: Channel) -> None:
    sender, receiver = Sender(channel), Receiver(channel)

    def talk(voice: int) -> None:
        for number in range(50):
            sender.push(bytes([voice, number]) * 500)
            sender.flush()

    threads = [threading.Thread(target=talk, args=(voice,)) for voice in range(4)]
    for thread in threads:
        thread.start()
    found = collect(receiver, sender, 200)
    for thread in threads:
        thread.join(30)
    assert sorted(found) == sorted(bytes([voice, number]) * 500 for voice in range(4) for number in range(50))
    for voice in range(4):
        heard = [message for message in found if message[0] == voice]
        assert heard == sorted(heard)


def test_a_damaged_frame_is_logged_and_the_rest_arrives(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    sender, receiver = Sender(channel), Receiver(channel)
    sender.push(b"one")
    sender.flush()
    channel.send(b"this is no frame")
    sender.push(b"two")
    sender.flush()
    assert receiver.receive() == [b"one", b"two"]
    assert [record.getMessage() for record in caplog.records] == ["damaged or missing frame"]


def test_nobody_at_the_other_end_of_a_socket_is_no_error() -> None:
    queue = SocketQueue()
    queue._reader.close()
    assert not queue.send(b"x")
    queue._writer.close()


# -- which one it is --------------------------------------------------------------------------------------------------


@posix_only
def test_a_posix_queue_is_what_is_opened() -> None:
    made = with_room(open_channel)
    assert descriptors(made) == [made.fileno()]
    made.close()


def test_without_the_library_sockets_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "posix_ipc", None)
    made = open_channel()
    assert isinstance(made, SocketQueue)
    assert descriptors(made) == [made.fileno(), made.writer]
    made.close()


@posix_only
def test_a_user_without_room_for_queues_gets_smaller_ones_and_then_sockets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[tuple[int, int]] = []

    class NoRoom(PosixQueue):
        def __init__(self, depth: int, frame_size: int) -> None:
            asked.append((depth, frame_size))
            if len(asked) != 2 or refuse_all:
                raise OSError("Too many open files")
            super().__init__(depth, frame_size)

    monkeypatch.setattr(channels, "PosixQueue", NoRoom)

    def refused_once() -> Channel:
        asked.clear()
        return open_channel()

    refuse_all = False
    smaller = with_room(refused_once)
    assert (smaller.frame_size, asked) == (2048, [(10, 8192), (10, 2048)])
    smaller.close()
    asked.clear()
    caplog.clear()
    refuse_all = True
    sockets = open_channel()
    assert isinstance(sockets, SocketQueue)
    assert [record.getMessage() for record in caplog.records] == ["no POSIX message queue, using sockets"]
    sockets.close()
