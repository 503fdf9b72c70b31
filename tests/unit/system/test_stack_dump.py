"""What a process says about where it is, and what others read of that."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from types import SimpleNamespace

import pytest
from tests.support.tables import table

from taskscheduler.model.attempts.stack import StackFrame
from taskscheduler_daemon.system import stack_dump
from taskscheduler_daemon.system.stack_dump import ASK, StackAnswers, StackFile, coroutine_frames, handles, parsed

FROZEN = """Thread 0x00007f (most recent call first):
  File "/usr/lib/threading.py", line 331 in wait
  File "/srv/app.py", line 5 in beside

Current thread 0x00008a [MainThread] (most recent call first):
  File "/srv/a "quoted" name.py", line ??? in start
"""


class NoTasks:
    def coroutines(self) -> Mapping[str, Sequence[StackFrame]]:
        return {"job": [StackFrame("a.py", 1, "start")]}


@pytest.fixture
def file() -> Iterator[StackFile]:
    file = StackFile()
    yield file
    file.close()


def test_the_text_of_faulthandler_is_read_thread_by_thread() -> None:
    beside, main = parsed(FROZEN)
    assert beside.name == "thread 00007f"
    assert [frame.function for frame in beside.frames] == ["beside", "wait"], "the outermost first"
    assert main.frames == (StackFrame('/srv/a "quoted" name.py', 0, "start"),)
    assert list(parsed("nothing of the kind")) == []


def test_an_answer_is_read_once_it_is_there_to_its_end(file: StackFile) -> None:
    answers = StackAnswers(file, NoTasks())
    answers._answer(ASK, None)
    said = os.pread(file.fileno(), 100_000, 0)
    dump = file.read()
    assert dump is not None
    assert (dump.frozen, dump.threads[0].name, dump.tasks["job"].frames) == (
        False,
        stack_dump.MAIN,
        (StackFrame("a.py", 1, "start"),),
    )
    file.clear()
    os.write(file.fileno(), said[:-1])
    assert file.read() is None
    os.write(file.fileno(), said[-1:])
    assert file.read() == dump


@table("said", [b"", b"noise", stack_dump._MARK, stack_dump._MARK + b"\x04\0\0\0noise"])
def test_what_a_job_may_have_written_there_is_no_answer(said: bytes) -> None:
    file = StackFile()
    os.write(file.fileno(), said)
    assert (file.read(), file.read_frozen()) == (None, None)
    file.close()


def test_a_handler_that_fails_breaks_nothing(file: StackFile) -> None:
    broken = SimpleNamespace(coroutines=lambda: 1 / 0)
    StackAnswers(file, broken)._answer(ASK, None)
    assert file.size() == 0


def test_a_signal_goes_only_to_a_process_that_handles_it() -> None:
    before = signal.getsignal(ASK)
    assert not handles(os.getpid(), ASK)
    signal.signal(ASK, lambda *_: None)
    try:
        assert handles(os.getpid(), ASK)
        signal.pthread_sigmask(signal.SIG_BLOCK, [ASK])
        assert not handles(os.getpid(), ASK)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [ASK])
        signal.signal(ASK, before)
    assert not handles(2**22 + 1, ASK)


def test_a_coroutine_says_where_it_waits() -> None:
    async def inner() -> None:
        await Waits()

    async def outer() -> None:
        await inner()

    class Waits:
        def __await__(self) -> Generator[None, None, None]:
            yield

    coroutine = outer()
    coroutine.send(None)
    assert [frame.function.rpartition(".")[2] for frame in coroutine_frames(coroutine)] == [
        "outer",
        "inner",
        "__await__",
    ]
    coroutine.close()
