"""Messages in frames: whole, in order, and what happens when a frame is lost or damaged."""

from __future__ import annotations

from tests.support.tables import table

from taskscheduler_daemon.ipc.framing import LARGEST_MESSAGE, FrameReader, FrameWriter

SIZE = 64


def frames(messages: list[bytes], size: int = SIZE) -> list[bytes]:
    writer = FrameWriter(size)
    for message in messages:
        writer.push(message)
    made = []
    while writer:
        made.append(writer.frame())
    return made


def read(parts: list[bytes], reader: FrameReader | None = None) -> list[bytes]:
    reader = reader or FrameReader()
    return [message for part in parts for message in reader.feed(part)]


def damaged(frame: bytes, place: int = -1) -> bytes:
    changed = bytearray(frame)
    changed[place] ^= 0x10
    return bytes(changed)


@table("size", [15, 16, 33, 2048, 8192])
@table(
    "messages",
    [[], [b""], [b"", b"", b"x"], [b"a" * length for length in range(80)], [b"z" * 20_000, b"small"]],
)
def test_messages_of_any_size_come_out_as_they_went_in(messages: list[bytes], size: int) -> None:
    reader = FrameReader()
    assert read(frames(messages, size), reader) == messages
    assert reader.faults == 0


@table("length", range(40, 60))
def test_messages_that_just_fill_a_frame_come_out(length: int) -> None:
    messages = [b"a" * length, b"b" * length, b"c"]
    assert read(frames(messages)) == messages


def test_no_frame_is_larger_than_allowed_and_small_messages_share_one() -> None:
    made = frames([b"m"] * 1000)
    assert {len(frame) <= SIZE for frame in made} == {True}
    assert len(made) <= 1000 * 5 / (SIZE - 10 - 5) + 1


def test_a_writer_knows_whether_something_is_left() -> None:
    writer = FrameWriter(SIZE)
    assert not writer
    writer.push(b"x" * SIZE)
    assert writer
    writer.frame()
    assert writer
    writer.frame()
    assert not writer


def test_an_urgent_message_overtakes_all_that_have_not_begun() -> None:
    writer = FrameWriter(SIZE)
    large = b"l" * 100
    writer.push(large)
    writer.push(b"later")
    reader, found = FrameReader(), []
    found += reader.feed(writer.frame())
    writer.push_first(b"urgent")
    while writer:
        found += reader.feed(writer.frame())
    assert found == [large, b"urgent", b"later"]


def test_urgent_messages_keep_their_order() -> None:
    writer, reader = FrameWriter(SIZE), FrameReader()
    writer.push(b"later")
    writer.push_first(b"lease 1")
    writer.push_first(b"lease 2")
    found = reader.feed(writer.frame())
    writer.push(b"last")
    writer.push_first(b"lease 3")
    while writer:
        found += reader.feed(writer.frame())
    assert found == [b"lease 1", b"lease 2", b"later", b"lease 3", b"last"]


# -- faults -----------------------------------------------------------------------------------------------------------

MESSAGES = [bytes([65 + number]) * 20 for number in range(12)]


def test_every_byte_of_a_frame_is_protected() -> None:
    [frame] = frames([b"message"])
    for place in range(len(frame)):
        reader = FrameReader()
        assert reader.feed(damaged(frame, place)) == []
        assert reader.faults == 1


@table("frame", [b"", b"x", bytes(9), bytes(10), b"\xff" * 64])
def test_what_is_no_frame_is_a_fault(frame: bytes) -> None:
    reader = FrameReader()
    assert reader.feed(frame) == []
    assert reader.faults == 1


def is_subsequence(found: list[bytes], sent: list[bytes]) -> bool:
    rest = iter(sent)
    return all(message in rest for message in found)


@table("lost", range(len(frames(MESSAGES))))
def test_a_lost_frame_costs_only_the_messages_in_it(lost: int) -> None:
    made = frames(MESSAGES)
    found = read(made[:lost] + made[lost + 1 :])
    assert is_subsequence(found, MESSAGES)
    assert len(found) >= len(MESSAGES) - 4


@table("bad", range(len(frames(MESSAGES))))
def test_a_damaged_frame_costs_only_the_messages_in_it(bad: int) -> None:
    made = frames(MESSAGES)
    made[bad] = damaged(made[bad])
    reader = FrameReader()
    found = read(made, reader)
    assert is_subsequence(found, MESSAGES)
    assert len(found) >= len(MESSAGES) - 4
    assert reader.faults >= 1


@table("twice", range(len(frames(MESSAGES))))
def test_a_frame_that_comes_twice_is_read_once(twice: int) -> None:
    made = frames(MESSAGES)
    made.insert(twice, made[twice])
    assert read(made) == MESSAGES


def test_a_frame_that_comes_again_much_later_is_not_read_again() -> None:
    made = frames(MESSAGES)
    found = read([*made[:3], made[0], *made[3:]])
    assert is_subsequence(found, MESSAGES)


def test_a_message_in_the_middle_of_lost_frames_is_never_half_delivered() -> None:
    messages = [b"a", b"L" * 500, b"b", b"c"]
    made = frames(messages)
    for lost in range(2, len(made) - 2):
        assert read(made[:lost] + made[lost + 1 :]) == [b"a", b"b", b"c"]


def test_numbers_of_frames_wrap_around() -> None:
    writer, reader = FrameWriter(SIZE), FrameReader()
    writer._sequence = 0xFFFFFFFD
    reader._next = 0xFFFFFFFE
    found = []
    for number in range(6):
        writer.push(bytes([number]))
        found += reader.feed(writer.frame())
    assert found == [bytes([number]) for number in range(6)]
    assert reader.faults == 0


def test_a_length_that_cannot_be_is_a_fault_and_not_a_wait_for_ever() -> None:
    writer, reader = FrameWriter(SIZE), FrameReader()
    writer._rest = memoryview((LARGEST_MESSAGE + 1).to_bytes(4, "little"))
    assert reader.feed(writer.frame()) == []
    assert reader.faults == 1
    writer.push(b"next")
    assert reader.feed(writer.frame()) == [b"next"]
