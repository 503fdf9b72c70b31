"""The audit log and the users of the web pages on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.jobs import Noop
from tests.support.json_tables import objections

from taskscheduler import Scheduler
from taskscheduler.process_identity import this_user
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.http.access.passwords import token_hash, verifies
from taskscheduler_daemon.web.http.access.users import read_users

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_what_a_command_does_is_listed_with_its_reason(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    assert run("limits", "set", "stripe", "--concurrency", "2", "--reason", "they throttle us")[0] == 0
    assert run("delete", job.id_text, "--yes", "--reason", "a mistake")[0] == 0
    assert run("list")[0] == 0
    entries = json.loads(run("audit", "-o", "json")[1])
    assert [objections("Audit", entry) for entry in entries] == [[], []]
    assert [(entry["who"], entry["via"], entry["what"], entry["target"], entry["reason"]) for entry in entries] == [
        (this_user(), "cli", "job.delete", job.id_text, "a mistake"),
        (this_user(), "cli", "limit.set", "stripe", "they throttle us"),
    ]
    assert len(run("audit", "--what", "limit", "--since", "1h", "-o", "ndjson")[1].splitlines()) == 1
    assert run("audit", "--job", job.id_text, "-o", "id")[1] == entries[0]["id"]["$oid"] + "\n"
    assert run("audit", "--before", entries[0]["id"]["$oid"], "-o", "id")[1] == entries[1]["id"]["$oid"] + "\n"
    assert "concurrency 2" in run("audit", "-o", "table")[1]
    assert run("audit", "--who", "nobody", "-o", "tsv")[1] == "AT\tWHO\tWHAT\tON\tOUTCOME\tREASON\n"


def test_a_wrong_filter_or_reason_is_told_in_a_line(run: Run) -> None:
    code, out, err = run("audit", "--what", "cancle")
    assert (code, out, "did you mean cancel?" in err, err.count("\n")) == (2, "", True, 1)
    code, _, err = run("groups", "set", "g", "--weight", "2", "--reason", "x" * 501)
    assert (code, "at most 500 characters" in err) == (2, True)


def test_the_life_of_a_user(run: Run, tmp_path: Path) -> None:
    path, secret = tmp_path / "users.json", tmp_path / "secret"
    secret.write_text("correct horse\n")
    where = ("--users", str(path))
    add = ("web-user", "add", "ana", "--role", "operator", "--password-file", str(secret), *where)
    assert run(*add)[:2] == (0, "user ana added as operator\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "correct horse" not in path.read_text()
    code, _, err = run(*add)
    assert (code, "there is a user ana already" in err) == (5, True)
    code, token, _ = run("web-user", "token", "ana", "--name", "ci", *where)
    user = read_users(path)["ana"]
    assert (code, user.tokens) == (0, {"ci": token_hash(token.strip().encode())})
    assert verifies("correct horse", user.password or "")
    assert run("web-user", "role", "ana", "--role", "admin", *where)[0] == 0
    assert run("web-user", "list", *where)[1].split()[4:] == ["ana", "admin", "yes", "ci"]
    assert run("web-user", "revoke", "ana", "--name", "ci", *where)[0] == 0
    assert read_users(path)["ana"].tokens == {}
    assert run("web-user", "delete", "ana", *where)[0] == 0
    assert run("web-user", "delete", "ana", *where)[0] == 3
    assert read_users(path) == {}


def test_mistakes_with_users_change_nothing_and_name_the_cure(run: Run, tmp_path: Path) -> None:
    path, short = tmp_path / "users.json", tmp_path / "short"
    short.write_text("1234567\n")
    where = ("--users", str(path))
    for arguments, code, said in (
        (("add", "ana", "--role", "operator", "--password-file", str(short), *where), 2, "8 to 1000 characters, not 7"),
        (("add", "a b", "--role", "viewer", "--no-password", *where), 2, "the name of a user must have"),
        (("add", "ana", "--role", "god", "--no-password", *where), 2, "god"),
        (("list", *where), 2, "make it with: taskscheduler web-user add"),
    ):
        got, out, err = run("web-user", *arguments)
        assert (got, out, said in err, err.count("\n")) == (code, "", True, 1), (arguments, err)
    assert not path.exists()


def test_the_server_refuses_what_would_not_guard_it(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    run("web-user", "add", "ana", "--role", "viewer", "--no-password", "--users", str(path))
    path.chmod(0o644)
    for arguments, said in (
        (("--users", str(path)), "run: chmod 600"),
        (("--users", str(tmp_path / "none")), "make it with: taskscheduler web-user add"),
        (("--users", str(path), "--token", "s3cret"), "give a token for all, or --users"),
        (("--host", "0.0.0.0"), "other machines can reach 0.0.0.0"),
        (("--proxy-role-header", "X-Groups"), "mean nothing without --proxy-user-header"),
        (
            ("--proxy-user-header", "X-User", "--proxy-role", "ops=operator"),
            "means nothing without --proxy-role-header",
        ),
        (("--proxy-user-header", "X User"), "takes the name of a header"),
        (("--proxy-user-header", "X-User", "--proxy-from", "proxy"), "--proxy-from takes addresses such as 10.0.0.5"),
        (("--proxy-user-header", "X-U", "--proxy-role-header", "X-G", "--proxy-role", "ops"), "takes GROUP=ROLE"),
    ):
        code, _, err = run("web", "--port", "0", *arguments)
        assert (code, said in err) == (2, True), (arguments, err)
