"""Which questions a node passes on, and what of a stack it shows."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId
from tests.support.eventually import eventually
from tests.unit.node.fakes import Threads, attempt

import taskscheduler_daemon
from taskscheduler.model.attempts.stack import StackFrame
from taskscheduler.model.control.questions import Question, read_question
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.node.dispatch.stacks import StackQuestions, _shown, of_job
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import InFlight

BOOT = ObjectId()
UNTIL = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
OURS = taskscheduler_daemon.__path__[0]


class Bench:
    """The questions of a node with one attempt in flight, and what became of them."""

    def __init__(self) -> None:
        self.attempt, self.in_flight, self.threads = attempt(), InFlight(), Threads()
        self.in_flight.add([self.attempt])
        self.passed_on: list[tuple[bytes, int, bytes]] = []
        self.written: dict[ObjectId, dict[str, Any]] = {}
        store = SimpleNamespace(
            questions=SimpleNamespace(answer=lambda asked, said: self.written.update({asked.id: said}))
        )
        manager = SimpleNamespace(stack=lambda *asked: self.passed_on.append(asked))
        node = NodeIdentity(BOOT, "web-1")
        self.questions = StackQuestions(cast(Any, store), node, self.in_flight, cast(Any, manager), self.threads)

    def question(self, boot: ObjectId = BOOT, number: int = 1) -> Question:
        return Question(ObjectId(), self.attempt.fence.job_id, number, boot, UNTIL)


def test_a_question_to_this_node_is_passed_on_once() -> None:
    bench = Bench()
    mine, other = bench.question(), bench.question(boot=ObjectId())
    for _ in range(2):
        bench.questions.asked([other, mine])
    assert bench.passed_on == [(mine.job.binary, 1, mine.id.binary)]
    assert bench.written == {}


def test_what_has_not_begun_or_has_ended_is_answered_at_once() -> None:
    bench = Bench()
    late = bench.question(number=2)
    bench.questions.asked([late])
    bench.attempt.kept = True
    early = bench.question()
    bench.questions.asked([early])
    assert "has ended" in bench.written[late.id]["error"]
    assert "has not begun" in bench.written[early.id]["error"]
    assert bench.passed_on == []


def test_the_answer_of_the_manager_is_written_with_the_node_and_the_lines_of_the_source() -> None:
    bench = Bench()
    question = bench.question()
    bench.questions.asked([question])
    frame = [__file__, 1, "start"]
    content = {"pid": 7, "frozen": False, "threads": [{"name": "main thread", "frames": [frame]}], "task": None}
    for known in (question.id.binary, ObjectId().binary):
        bench.questions.answered(messages.stack_of(known, content))
    eventually(lambda: bench.written)
    [said] = bench.written.values()
    assert (said["node"], said["pid"], said["task"]) == ("web-1", 7, None)
    assert said["threads"][0]["frames"] == [
        [*frame, '"""Which questions a node passes on, and what of a stack it shows."""']
    ]


def test_the_frames_of_the_scheduler_above_the_job_are_left_out() -> None:
    def frames(*files: str) -> tuple[StackFrame, ...]:
        return tuple(StackFrame(file, 1, "process_all" if file.endswith("worker.py") else "f") for file in files)

    worker, ours, job = f"{OURS}/worker/worker.py", f"{OURS}/worker/execution.py", "/srv/job.py"
    assert of_job(frames("/bin/node", ours, worker, ours, job, ours, job)) == frames(job, ours, job)
    assert of_job(frames("/bin/node", worker, ours)) == frames(ours), "between two jobs"
    assert of_job(frames(worker)) == frames(worker)
    assert of_job(frames("/usr/lib/threading.py", job)) == frames("/usr/lib/threading.py", job)


def test_no_line_is_read_of_what_is_no_file_or_is_huge(tmp_path: Any) -> None:
    huge = tmp_path / "huge.py"
    huge.write_bytes(b"secret\n" * 700_000)
    for file in (str(huge), "/dev/zero", "<string>", "no\0name"):
        assert _shown({"name": "t", "frames": [[file, 1, "f"]]})["frames"][0][3] == ""


def test_only_a_question_is_read_as_one() -> None:
    question = Bench().question()
    assert read_question({"_id": question.key, **question.stored()}) == question
    for odd in ({"_id": "pause:all"}, {"_id": 5}, {"_id": question.key}, {"_id": "stack:x", **question.stored()}):
        assert read_question(odd) is None
