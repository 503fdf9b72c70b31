"""Limits, sequences and groups on the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.jobs import Fail, Noop

from taskscheduler import Scheduler
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


def test_the_life_of_a_limit(run: Run, scheduler: Scheduler) -> None:
    code, out, _ = run("limits", "set", "stripe", "--concurrency", "1", "-o", "id")
    assert (code, out) == (0, "stripe\n")
    holder, waiting = (run("add", "noop", "--limit", "stripe", "--limit", "other", "-o", "id")[1][:-1] for _ in "ab")
    assert scheduler.get_job(holder).options["limits"] == ["stripe", "other"]
    assert run("limits")[1].splitlines()[1].startswith("stripe\t1\t1\t1\t\t")
    _, out, _ = run("limits", "list", "-o", "table")
    assert f"  {holder}  noop  waits for a slot\n" in out
    for command in (["show", waiting], ["list"]):
        assert "waits for a place of limit stripe\n" in run(*command, "-o", "table")[1]
    assert "limits    stripe, other\n" in run("show", waiting, "-o", "table")[1]
    _, out, _ = run("limits", "set", "stripe", "--rate", "2.5", "--per", "5m", "--burst", "3", "-o", "table")
    assert "2.5 per 5m, 3 at once" in out
    assert run("limits", "delete", "stripe")[0] == 0
    code, out, err = run("limits", "delete", "stripe")
    assert (code, out, err.count("\n"), "there is no limit 'stripe'" in err) == (3, "", 1, True)
    assert run("limits", "-o", "json")[1] == "[]\n"


def test_the_life_of_a_weight(run: Run, scheduler: Scheduler) -> None:
    assert run("groups", "set", "customer-7", "--weight", "2.5")[:2] == (0, "")
    job = run("add", "noop", "--group", "customer-7", "-o", "id")[1][:-1]
    run("add", "noop", "--group", "customer-8")
    assert [line.split("\t")[:3] for line in run("groups", "-o", "tsv")[1].splitlines()[1:]] == [
        ["customer-7", "2.5", "1"],
        ["customer-8", "1", "1"],
    ]
    assert "customer-7  2.5" in run("groups", "list", "-o", "table")[1]
    assert '"weight": 2.5' in run("groups", "-o", "json")[1]
    shown = run("show", job, "-o", "table")[1]
    assert "group     customer-7\n" in shown
    assert "waits for the turn of its group\n" in shown
    assert run("list", "--where", "group:customer-7", "-o", "id")[1] == f"{job}\n"
    assert run("groups", "delete", "customer-7")[0] == 0
    code, _, err = run("groups", "delete", "customer-7")
    assert (code, "group 'customer-7' has no weight" in err) == (3, True)


def test_more_holders_than_a_few_are_counted(run: Run, scheduler: Scheduler) -> None:
    scheduler.limits.set("t:*", concurrency=9)
    scheduler.add_jobs([("noop", None, {"limits": "t:a"})] * 7)
    _, out, _ = run("limits", "-o", "table")
    assert out.count("of t:a\n") == 5
    assert out.endswith("  and 2 more\n")


def test_a_blocked_sequence_is_listed_and_released(run: Run, scheduler: Scheduler) -> None:
    given = ("--sequence", "account-42", "--sequence-on-failure", "block", "-o", "id")
    failed = run("add", "fail", '"overdrawn"', *given)[1][:-1]
    following = scheduler.add_job(Noop, sequence="account-42")
    assert "now       waits for its turn in sequence account-42\n" in run("show", str(following.id), "-o", "table")[1]
    with InlineNode(scheduler) as node:
        node.run_due()
        code, out, _ = run("sequences", "-o", "tsv")
        assert (code, out.splitlines()[1].split("\t")[:5]) == (0, ["account-42", "1", failed, "fail", "failed"])
        assert "ValueError: overdrawn" in run("sequences", "list", "-o", "table")[1]
        _, out, _ = run("show", failed, "-o", "table")
        assert "now       blocks sequence account-42; ValueError: overdrawn\n" in out
        assert "sequence  account-42, blocked if it fails\n" in out
        assert run("sequences", "release", "account-42")[0] == 0
        node.run_due()
    assert following.refresh().status.label == "done"
    code, _, err = run("sequences", "release", "account-42")
    assert (code, "no failed job blocks a sequence 'account-42'" in err) == (3, True)


MISTAKES = [
    (("limits", "set", "x"), "give concurrency, rate or both"),
    (("limits", "set", "x", "--concurrency", "-1"), "option concurrency"),
    (("limits", "set", "x", "--rate", "0"), "option rate must be a number of starts above 0"),
    (("limits", "set", "x", "--per", "5"), "give concurrency, rate or both"),
    (("limits", "set", "x", "--concurrency", "1", "--per", "5"), "option per belongs to a rate"),
    (("limits", "set", "a*b", "--rate", "1"), "a star stands for many names only at the end"),
    (("limits", "set", "x" * 201, "--rate", "1"), "1 to 200 printable characters"),
    (("limits", "set", "x", "--rate", "1", "--per", "soon"), "90s, 5m, 1h30m, 2d"),
    (("limits", "delete", ""), "1 to 200 printable characters"),
    (("sequences", "release", "a*"), "a star stands for many names"),
    (("groups", "set", "a", "--weight", "0"), "option weight must be a number from 0.01 to 1000, not 0.0"),
    (("add", "noop", "--limit", "{data.x}"), "in this job, not nothing"),
    (("add", "noop", "--sequence", "{x}"), "{x} in '{x}' is not known"),
]


def test_a_mistake_changes_nothing_and_is_told_in_a_line(run: Run, scheduler: Scheduler) -> None:
    for given, part in MISTAKES:
        code, out, err = run(*given)
        assert (code, out, err.count("\n"), part in err) == (2, "", 1, True), (given, err)
    assert scheduler.limits.all() == []
    assert list(scheduler.get_jobs()) == []


def test_the_number_of_a_list_is_no_limit_of_a_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TASKSCHEDULER_LIMIT", "TASKSCHEDULER_LIMITS"):
        monkeypatch.setenv(variable, "5")
    assert '"limits"' not in run("add", Fail.name, "-o", "json")[1]
