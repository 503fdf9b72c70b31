"""What is kept and passed on of the output of a command."""

from __future__ import annotations

import os
import threading

from taskscheduler_daemon.programs.output import OutputTail, write_all


def test_the_last_bytes_are_kept_and_all_are_counted() -> None:
    tail = OutputTail(5)
    for data in (b"abc", b"def", b"", b"g"):
        tail.add(data)
    assert (tail.text(), tail.total) == ("cdefg", 7)


def test_bytes_that_are_no_text_are_replaced() -> None:
    tail = OutputTail(10)
    tail.add("ä".encode()[1:] + b"ok")
    assert tail.text() == "\ufffdok"


def test_a_slow_reader_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data, found = bytes(1_000_000), bytearray()

    def read() -> None:
        while len(found) < len(data):
            found.extend(os.read(reader, 65_536))

    thread = threading.Thread(target=read)
    thread.start()
    assert write_all(writer, data)
    thread.join(10)
    assert bytes(found) == data
    os.close(reader)
    os.close(writer)


def test_without_a_reader_the_output_ends() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert not write_all(writer, b"nobody reads this")
    os.close(writer)


def test_output_that_cannot_be_written_is_dropped() -> None:
    reader, writer = os.pipe()
    assert write_all(reader, b"the wrong end")
    os.close(reader)
    os.close(writer)
