"""What jobs log and print is stored with their attempts, and read with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.talking import say_each

from taskscheduler import Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]

JOBS = ["tests.support.talking"]


def texts(process: Process, **given: Any) -> list[str]:
    return [line.text for line in process.logs(**given)]


def test_what_a_job_logs_and_prints_is_there_when_it_has_ended(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS)
    process = scheduler.add_job("talk").wait(timeout=20)
    lines = list(process.logs())
    said = [(line.stream, line.level, line.text) for line in lines]
    said[2:4] = sorted(said[2:4], reverse=True)  # a child writes to two pipes
    assert said == [
        ("stdout", None, "printed"),
        ("log", "INFO", "told something order=42"),
        ("stdout", None, "a child"),
        ("stderr", None, "its error"),
        ("log", "WARNING", "aside"),
        ("stderr", None, "to the error"),
        ("stdout", None, "of a thread"),
        ("stdout", None, "raw"),
    ]
    assert {line.attempt for line in lines} == {1}
    assert lines[1].logger == "tests.support.talking"
    assert lines[4].logger == "aside"
    assert [line.at for line in lines] == sorted(line.at for line in lines)


def test_a_silent_job_has_no_log_and_writes_nothing(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS)
    process = scheduler.add_job("silent").wait(timeout=20)
    assert texts(process) == []
    assert scheduler.store.database["taskscheduler.logs"].count_documents({}) == 0


def test_the_lines_of_jobs_in_the_same_worker_are_told_apart(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS, pm="static", min_children=1)
    talking = [scheduler.add_job("print_lines", {"text": f"job {number}"}) for number in range(50)]
    silent = [scheduler.add_job("silent") for _ in range(50)]
    scheduler.wait_for([*talking, *silent], timeout=30)
    assert [texts(process) for process in talking] == [[f"job {number} 0"] for number in range(50)]
    assert [texts(process) for process in silent] == [[]] * 50


def test_each_attempt_has_a_log(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS)
    process = scheduler.add_job("fail_talking", retry=1, retry_interval=0).wait(timeout=20)
    assert [(line.attempt, line.text) for line in process.logs()] == [(1, "attempt 1"), (2, "attempt 2")]
    assert texts(process, attempt=2) == ["attempt 2"]
    assert texts(process, attempt=3) == []


def test_a_worker_that_is_killed_in_the_middle_of_a_line_leaves_all_of_it(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    start_node(jobs=JOBS, max_lost=1)
    process = scheduler.add_job("die_talking").wait(timeout=30)
    assert texts(process) == ["a whole line", "half a li"]


def test_bytes_that_are_no_text_are_replaced(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS)
    data = bytes(range(256)) * 40 + b"\n\x1b[31mred\x1b[0m\n" + "ünter".encode() + b"\xff"
    process = scheduler.add_job("print_bytes", {"data": data}).wait(timeout=20)
    assert "\n".join(texts(process)) == data.decode(errors="replace")


def test_async_jobs_in_one_process_are_told_apart(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS)
    processes = [scheduler.add_job("say_async", {"text": f"job {number}"}) for number in range(20)]
    scheduler.wait_for(processes, timeout=30)
    for number, process in enumerate(processes):
        said = [f"job {number} {step}" for step in range(3)]
        told = [f"job {number} logs {step}" for step in range(3)]
        both = [text for pair in zip(said, told, strict=True) for text in pair]
        assert texts(process) == [*both, f"job {number} in a thread"]


def test_the_jobs_of_a_batch_share_its_log(scheduler: Scheduler, start_node: StartNode) -> None:
    processes = [scheduler.add_job(say_each, number) for number in range(3)]
    start_node(jobs=JOBS)
    scheduler.wait_for(processes, timeout=30)
    logs = [texts(process) for process in processes]
    assert logs == [["together 3", "item 0", "item 1", "item 2"]] * 3


def test_who_follows_reads_lines_while_the_job_runs(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    start_node(jobs=JOBS)
    process, stop = scheduler.add_job("print_until_told", str(tmp_path / "stop")), tmp_path / "stop"
    followed = process.logs(follow=True)
    assert next(followed).text == "tick 0"
    assert process.refresh().status is Status.PROCESSING
    stop.touch()
    rest = [line.text for line in followed]
    assert rest == [f"tick {number}" for number in range(1, len(rest) + 1)]
    assert process.refresh().status is Status.DONE


def test_without_capture_the_node_prints_and_records_are_stored(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(jobs=JOBS, capture=False)
    process = scheduler.add_job("talk").wait(timeout=20)
    assert texts(process) == ["told something order=42", "aside"]
    eventually(lambda: "a child" in node.log.read_text(), 20)


def test_of_a_flood_the_newest_is_kept_and_others_go_on(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS, pm="static", min_children=2)
    flood = scheduler.add_job("print_lines", {"text": "x" * 90, "times": 60_000})
    others = [scheduler.add_job("say", {"text": "beside"}) for _ in range(20)]
    scheduler.wait_for([flood, *others], timeout=120)
    assert [texts(process) for process in others] == [["beside 0"]] * 20
    lines = list(flood.logs())
    assert lines[0].stream == "gap"
    assert lines[-1].text == f"{'x' * 90} 59999"
    assert sum(len(line.text) for line in lines) <= 1024 * 1024


def test_what_was_stored_before_the_node_died_stays(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    node, stop = start_node(jobs=JOBS, orphaned_timeout=1), tmp_path / "stop"
    process = scheduler.add_job("print_until_told", str(stop))
    eventually(lambda: len(texts(process)) > 3, 30)
    stored = len(texts(process, attempt=1))
    node.kill()
    stop.touch()
    start_node(jobs=JOBS, orphaned_timeout=1)
    process.wait(timeout=60)
    kept = texts(process, attempt=1)
    assert len(kept) >= stored
    assert kept == [f"tick {number}" for number in range(len(kept))]
    assert texts(process, attempt=2) == []
