"""Flows on the command line: the list, the tree of one, cancelling it, and retrying what failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bson import ObjectId
from tests.support.flowing import order

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def ran(scheduler: Scheduler, flow: Flow) -> ObjectId:
    """The id of a flow that has run as far as it goes."""
    running = scheduler.flows.add(flow)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return running.id


def test_flows_are_listed_the_newest_first_by_status_and_name(run: Run, scheduler: Scheduler) -> None:
    assert run("flow")[:2] == (0, "ID\tNAME\tSTATE\tPROGRESS\tJOBS\tAGE\tTOOK\tNOTE\n")
    done = ran(scheduler, order(2, name="order 1"))
    failed = ran(scheduler, order(3, broken=[1], name="order 2"))
    going = scheduler.flows.add(order(1, name="bill 3")).id
    _, out, _ = run("flow", "list", "-o", "id")
    assert out.split() == [str(going), str(failed), str(done)]
    rows = [line.split("\t") for line in run("flow", "list")[1].splitlines()[1:]]
    assert [row[1:5] for row in rows] == [
        ["bill 3", "running", "0%", "3"],
        ["order 2", "failed", "100%", "5"],
        ["order 1", "done", "100%", "4"],
    ]
    assert rows[1][7] == "1 failed, 1 canceled, 3 done"
    assert run("flow", "list", "--status", "failed", "-o", "id")[1].split() == [str(failed)]
    assert run("flow", "list", "--name", "order", "-o", "id")[1].split() == [str(failed), str(done)]
    assert run("flow", "list", "--name", "order", "--status", "done", "-o", "id")[1].split() == [str(done)]
    code, out, err = run("flow", "list", "--limit", "2", "-o", "id")
    assert (code, out.split(), "only the newest 2 flows" in err) == (0, [str(going), str(failed)], True)
    assert "✓" not in run("flow", "list", "-o", "table")[1], "plain, where the output is no terminal"
    assert "x failed " in run("flow", "list", "-o", "table")[1]
    code, _, err = run("flow", "list", "--status", "odd")
    assert (code, err.count("\n")) == (2, 1)


def test_a_long_list_is_read_in_parts(run: Run, scheduler: Scheduler) -> None:
    ids = [ObjectId() for _ in range(250)]
    documents = [{"_id": one, "name": "many", "status": "done", "total": 1, "created": None} for one in ids]
    scheduler.store.flows.collection.insert_many(documents)
    assert run("flow", "list", "-o", "id")[1].split() == [str(one) for one in reversed(ids)]
    assert len(run("flow", "list", "--limit", "120", "-o", "id")[1].split()) == 120


def test_the_list_for_programs(run: Run, scheduler: Scheduler) -> None:
    failed = ran(scheduler, order(2, broken=[0]))
    [record] = json.loads(run("flow", "list", "-o", "json")[1])
    assert record["id"] == {"$oid": str(failed)}
    expected = {"name": "order", "status": "failed", "progress": 100.0, "total": 4, "reason": None}
    assert {name: record[name] for name in expected} == expected
    assert record["counts"] == {"failed": 1, "canceled": 1, "done": 2}
    assert json.loads(run("flow", "list", "-o", "ndjson")[1]) == record


def test_a_flow_is_shown_as_a_tree_with_what_failed(run: Run, scheduler: Scheduler) -> None:
    failed = ran(scheduler, order(100, broken=[40, 80]))
    code, out, _ = run("flow", "show", str(failed))
    lines = out.splitlines()
    assert (code, lines[0]) == (0, f"order  {failed}  x failed")
    assert "102 jobs: 2 failed, 1 canceled, 99 done" in lines[1]
    tree = lines[lines.index("") + 1 :]
    assert [line.split("  ")[0] for line in tree] == [
        "+ Fetch",
        "|- + Pack 0",
        "|- x Pack 40",
        "|- x Pack 80",
        "|- ... 97 more done",
        "`- - Ship",
    ]
    assert tree[2].split("failed", 1)[1].strip().endswith("ValueError: part 40 is broken")
    assert f"it comes after Pack 40 ({scheduler.flows.processes(failed)[41].id}), which has failed" in tree[-1]
    everything = run("flow", "show", str(failed), "--all")[1].splitlines()
    assert len(everything) == len(lines) - len(tree) + 102


def test_it_says_what_a_job_waits_for(run: Run, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(3)).id
    assert "waits for Fetch" in run("flow", "show", str(flow))[1]
    assert "waits for 3 of 3: Pack 0, Pack 1, ..." in run("flow", "show", str(flow))[1]
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert "after Pack 0, Pack 1 and 1 more" in run("flow", "show", str(flow))[1]


def test_a_flow_is_shown_for_programs_without_all_of_its_jobs(run: Run, scheduler: Scheduler) -> None:
    failed = ran(scheduler, order(60, broken=range(30)))
    shown = json.loads(run("flow", "show", str(failed), "-o", "json")[1])
    assert (shown["depth"], shown["total"], len(shown["failed"])) == (3, 62, 20)
    assert shown["failed"][0]["error"]["type"] == "ValueError"
    assert shown["failed"][0]["label"] == "Pack 0"
    assert "status\tfailed\n" in run("flow", "show", str(failed), "-o", "tsv")[1]
    assert run("flow", "show", str(failed), "-o", "id")[1] == f"{failed}\n"
    jobs = json.loads(run("list", "--all", "--where", f"flow:{failed}", "-o", "json")[1])
    assert len(jobs) == 62


def test_the_last_digits_of_an_id_are_enough(run: Run, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(1)).id
    assert str(flow) in run("flow", "show", str(flow)[-6:])[1]
    assert run("flow", "cancel", f"...{str(flow)[-5:]}")[0] == 0


@pytest.mark.parametrize("command", ["show", "cancel", "retry"])
def test_an_unknown_flow_is_an_error_of_one_line(run: Run, scheduler: Scheduler, command: str) -> None:
    scheduler.flows.add(order(1))
    for unknown in ("0" * 24, "abcdef"):
        code, out, err = run("flow", command, unknown)
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert f"there is no flow {unknown}" in err
        assert "taskscheduler flow list" in err
    for odd in ("x", "ab"):
        code, out, err = run("flow", command, odd)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_flow_is_cancelled_with_a_reason(run: Run, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(2))
    code, out, _ = run("flow", "cancel", str(flow.id), "--reason", "wrong order", "-o", "json")
    [record] = json.loads(out)
    assert (code, record["status"], record["reason"]) == (0, "canceled", "wrong order")
    assert {process.status for process in flow.processes} == {Status.CANCELED}
    assert {process.reason for process in flow.processes} == {"wrong order"}
    code, out, err = run("flow", "cancel", str(flow.id))
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert f"cannot cancel flow {flow.id}: it has ended: it is canceled" in err
    assert "reason    wrong order\n" in run("flow", "show", str(flow.id), "-o", "table")[1]


def test_what_failed_is_retried(run: Run, scheduler: Scheduler, tmp_path: Path) -> None:
    flow = Flow("passes")
    flow.add("flow-passes", str(tmp_path / "flag"), label="first")
    flow.add("noop", after=["first"], label="second")
    failed = ran(scheduler, flow)
    (tmp_path / "flag").touch()
    code, out, err = run("flow", "retry", str(failed), "--reason", "it is there", "-o", "table")
    assert (code, "> running" in out, err) == (0, True, "2 jobs will run again\n")
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert scheduler.flows.get(failed).status == "done"
    code, out, err = run("flow", "retry", str(failed))
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert f"cannot retry flow {failed}: none of its jobs has failed" in err
    assert run("flow", "retry", str(failed), "--reason", "x" * 501)[0] == 2


def test_a_job_says_to_which_flow_it_belongs(run: Run, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(1))
    waiting = flow.processes[1].id
    said = run("show", str(waiting), "-o", "table")[1]
    assert f"flow      {flow.id}, Pack 0\n" in said
    assert "why       WAITING_FOR: " in said or "it comes after Fetch" in said
    assert "waits for the jobs before it in its flow" in run("list", "-o", "tsv")[1]


def test_jobs_of_a_flow_are_chosen_by_the_filter(run: Run, scheduler: Scheduler) -> None:
    flow, other = scheduler.flows.add(order(3)), scheduler.flows.add(order(1))
    where = f"flow:{flow.id} status:postponed"
    assert len(run("list", "--where", where, "-o", "id")[1].split()) == 4
    both = f"flow:{flow.id},{other.id}"
    assert len(run("list", "--where", both, "-o", "id")[1].split()) == 8
    assert run("cancel", "--where", where, "--dry-run", "-o", "id")[1] == "4\n"
    assert run("cancel", "--where", f"flow:{flow.id}")[0] == 0
    assert scheduler.flows.get(flow.id).status == "canceled"
    assert run("retry", "--where", f"flow:{flow.id}", "-o", "id")[1] == "5\n"
    assert run("delete", "--where", f"flow:{flow.id}", "--yes")[1] == "5 jobs deleted\n"
    assert scheduler.flows.get(other.id).status == "running"
    assert run("list", "--where", "flow:odd")[0] == 2
