"""Whatever happens to frames, only whole and genuine messages come out, in order and never twice."""

from __future__ import annotations

from enum import Enum, auto
from itertools import cycle

from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskscheduler_daemon.ipc.framing import FrameReader, FrameWriter

MORE = settings(max_examples=250, deadline=None)

sizes = st.integers(15, 120)
messages = st.lists(st.binary(max_size=200), max_size=25)


def frames(sent: list[bytes], size: int) -> list[bytes]:
    writer = FrameWriter(size)
    for message in sent:
        writer.push(message)
    made = []
    while writer:
        made.append(writer.frame())
    return made


@MORE
@given(messages, sizes)
def test_any_messages_come_out_of_any_frames_equal(sent: list[bytes], size: int) -> None:
    reader = FrameReader()
    made = frames(sent, size)
    assert all(len(frame) <= size for frame in made)
    assert [message for frame in made for message in reader.feed(frame)] == sent
    assert reader.faults == 0


@MORE
@given(st.lists(st.one_of(st.binary(max_size=100), st.just(None)), max_size=40), sizes)
def test_messages_that_are_added_while_frames_are_sent_come_out_in_order(steps: list[bytes | None], size: int) -> None:
    writer, reader = FrameWriter(size), FrameReader()
    found: list[bytes] = []
    for step in steps:
        if step is not None:
            writer.push(step)
        elif writer:
            found += reader.feed(writer.frame())
    while writer:
        found += reader.feed(writer.frame())
    assert found == [step for step in steps if step is not None]


class Fate(Enum):
    """What may happen to one frame."""

    ARRIVES = auto()
    LOST = auto()
    TWICE = auto()
    DAMAGED = auto()
    DAMAGED_THEN_WHOLE = auto()
    WHOLE_THEN_DAMAGED = auto()
    CUT = auto()


def damaged(frame: bytes, place: int) -> bytes:
    changed = bytearray(frame)
    changed[place % len(frame)] ^= 1 << place % 8
    return bytes(changed)


def arriving(frame: bytes, fate: Fate, place: int) -> list[bytes]:
    bad = damaged(frame, place)
    return {
        Fate.ARRIVES: [frame],
        Fate.LOST: [],
        Fate.TWICE: [frame, frame],
        Fate.DAMAGED: [bad],
        Fate.DAMAGED_THEN_WHOLE: [bad, frame],
        Fate.WHOLE_THEN_DAMAGED: [frame, bad],
        Fate.CUT: [frame[: place % len(frame)]],
    }[fate]


FATES = st.lists(st.tuples(st.sampled_from([Fate.ARRIVES, *Fate]), st.integers(0, 2**16)), min_size=1, max_size=20)


def unlike(lengths: list[int]) -> list[bytes]:
    """Messages of these lengths, each unlike all others, so that a wrong, a double or a mixed one is noticed."""
    return [b"\0\0" + number.to_bytes(2, "big") + bytes([number % 3]) * length for number, length in enumerate(lengths)]


@MORE
@example([(Fate.LOST, 0), (Fate.ARRIVES, 0)], [1], 15)
@given(FATES, st.lists(st.integers(0, 60), min_size=1, max_size=30), sizes)
def test_with_any_faults_only_whole_genuine_messages_come_out_in_order_and_never_twice(
    fates: list[tuple[Fate, int]], lengths: list[int], size: int
) -> None:
    sent, reader = unlike(lengths), FrameReader()
    found: list[bytes] = []
    for frame, (fate, place) in zip(frames(sent, size), cycle(fates), strict=False):
        for part in arriving(frame, fate, place):
            found += reader.feed(part)
    assert set(found) <= set(sent)
    places = [sent.index(message) for message in found]
    assert places == sorted(set(places))


@MORE
@given(FATES, st.lists(st.integers(0, 60), min_size=1, max_size=30), sizes)
def test_after_the_last_fault_everything_that_begins_later_comes_out(
    fates: list[tuple[Fate, int]], lengths: list[int], size: int
) -> None:
    writer, reader = FrameWriter(size), FrameReader()
    for message in [b"the first arrives", *unlike(lengths)]:
        writer.push(message)
    reader.feed(writer.frame())
    for fate, place in fates:
        for part in arriving(writer.frame(), fate, place) if writer else ():
            reader.feed(part)
    while writer:
        reader.feed(writer.frame())
    writer.push(b"later")
    found = []
    while writer:
        found += reader.feed(writer.frame())
    assert found == [b"later"]
