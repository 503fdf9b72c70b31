"""Where a running job is: the frames of the threads of its worker, without the values of any variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

MOST_FRAMES = 100  #: of one thread or task; the outermost are left out

MOST_THREADS = 50

_LONGEST = 1000  #: characters of a text


class StackFrame(NamedTuple):
    """One call."""

    file: str
    line: int
    function: str
    code: str = ""  #: the line of the source, if the node has the file


class StackThread(NamedTuple):
    """The calls of a thread or a task, the outermost first."""

    name: str
    frames: tuple[StackFrame, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.name}:", *_lines(self.frames)])


class Stack(NamedTuple):
    """Where a running job was at one moment. As a text it reads like a traceback."""

    job: Any  #: id
    attempt: int
    node: str
    host: str
    pid: int  #: of the worker
    at: datetime | None  #: by the clock of the server
    frozen: bool  #: the worker did not run Python code: the kernel interrupted it in C code
    task: StackThread | None  #: the coroutines of an async job
    threads: tuple[StackThread, ...]  #: of the worker, the main thread first

    def __str__(self) -> str:
        head = f"attempt {self.attempt} on {self.node}, worker process {self.pid} on {self.host}"
        frozen = ["the worker runs no Python code: it is in C code, or does not take signals"] if self.frozen else []
        parts = [self.task] if self.task is not None else []
        return "\n\n".join([head, *frozen, *map(str, [*parts, *self.threads])])


def _lines(frames: Sequence[StackFrame]) -> Iterator[str]:
    for frame in frames:
        yield f'  File "{frame.file}", line {frame.line}, in {frame.function}'
        if frame.code:
            yield f"    {frame.code}"


def stored_thread(thread: StackThread) -> dict[str, Any]:
    """Returns a thread as it is stored, with the innermost frames and texts of a limited length."""
    frames = [[_clip(one.file), one.line, _clip(one.function), _clip(one.code)] for one in thread.frames[-MOST_FRAMES:]]
    return {"name": _clip(thread.name), "frames": frames}


def read_thread(stored: Any) -> StackThread | None:
    """Reads a stored thread; None for anything else."""
    if not isinstance(stored, Mapping) or not isinstance(stored.get("frames"), list):
        return None
    return StackThread(str(stored.get("name")), tuple(frame for one in stored["frames"] if (frame := _frame(one))))


def _frame(stored: Any) -> StackFrame | None:
    if not isinstance(stored, list) or len(stored) not in (3, 4) or not isinstance(stored[1], int):
        return None
    file, line, function, *code = stored
    return StackFrame(_clip(str(file)), line, _clip(str(function)), _clip(str(code[0])) if code else "")


def _clip(text: str) -> str:
    return text[:_LONGEST].encode(errors="replace").decode()


def read_stack(answer: Mapping[str, Any]) -> Stack:
    """Reads the answer of a node."""
    threads = answer.get("threads")
    found = [read_thread(one) for one in threads] if isinstance(threads, list) else []
    at, pid, attempt = answer.get("at"), answer.get("pid"), answer.get("attempt")
    return Stack(
        answer.get("job"),
        attempt if isinstance(attempt, int) else 0,
        str(answer.get("node")),
        str(answer.get("host")),
        pid if isinstance(pid, int) else 0,
        at if isinstance(at, datetime) else None,
        answer.get("frozen") is True,
        read_thread(answer.get("task")),
        tuple(one for one in found if one is not None),
    )
