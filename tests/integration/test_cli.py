"""The command line against a real mongod: what it prints, its exit codes, and errors as one line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tests.support.jobs  # noqa: F401
from bson import ObjectId
from tests.support import commands
from tests.support.batching import add_up
from tests.support.nodes import ROOT

from taskscheduler import Scheduler, Status
from taskscheduler.embedded import EmbeddedServer, acquire
from taskscheduler.operations.rescue import rescue
from taskscheduler.store.client import redacted
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.cli.commands.jobs.listen import EventPrinter
from taskscheduler_daemon.cli.input.parameters import LARGEST_LIMIT
from taskscheduler_daemon.presentation.job import COLUMNS

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"]
NOWHERE = "mongodb://127.0.0.1:1/nowhere"
SECONDS = 40.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with acquire(tmp_path_factory.mktemp("mongod")) as running:
        yield running


@pytest.fixture
def uri(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in [name for name in os.environ if name.startswith("TASKSCHEDULER_")]:
        monkeypatch.delenv(name)
    fresh = server.uri.replace("/taskscheduler?", f"/cli{uuid.uuid4().hex[:12]}?")
    monkeypatch.setenv("TASKSCHEDULER_URI", fresh)
    return fresh


@pytest.fixture
def scheduler(uri: str) -> Iterator[Scheduler]:
    with Scheduler(uri) as opened:
        yield opened


Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit code, lines of output, standard error."""

    def call(*arguments: object) -> tuple[int, list[str], str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and "Traceback" not in text


def finish(scheduler: Scheduler, job_id: ObjectId, status: Status, **fields: object) -> None:
    """Let a job end without a node."""
    change = {"$set": {"status": int(status), **fields}, "$currentDate": {"ended": True, "started": True}}
    scheduler.store.jobs.collection.update_one({"_id": job_id}, change)


# -- adding ---------------------------------------------------------------------------------------------------------


def test_add_prints_the_id_and_stores_all_options(run: Run, scheduler: Scheduler) -> None:
    code, out, _ = run(
        "add", "Mail", '{"to": "a", "when": {"$date": "2026-11-21T08:00:00Z"}}', "--at", "1h", "--interval", "-1",
        "--interval-reference", "start", "--retry", "-1", "--retry-interval", "1h30m", "--timeout", "10m",
        "--priority", "-5", "--queue", "mail", "--force-spawn", "--id", "6a5f01c2e26cf26c6d0ede69",
    )  # fmt: skip
    assert (code, out) == (0, ["6a5f01c2e26cf26c6d0ede69"])
    job = scheduler.get_job(ObjectId(out[0]))
    assert job.status is Status.POSTPONED
    assert job.data["when"].year == 2026
    wanted = {"interval": -1, "interval_reference": "start", "retry": -1, "retry_interval": 5400, "timeout": 600}
    assert job.options.items() >= {**wanted, "priority": -5, "queue": "mail", "force_spawn": True}.items()


def test_add_takes_how_a_job_is_tried_again_and_show_tells_it(run: Run, scheduler: Scheduler) -> None:
    given = ["--backoff", "1s,5m", "--jitter", "0.5", "--retry-interval-max", "1h", "--retry-for", "2h"]
    _, out, _ = run("add", "Mail", "--retry", "3", *given, "--start-by", "90s")
    job = scheduler.get_job(ObjectId(out[0]))
    wanted = {"backoff": [1, 300], "jitter": 0.5, "retry_interval_max": 3600, "retry_for": 7200, "start_by": 90}
    assert job.options.items() >= wanted.items()
    _, out, _ = run("show", str(job.id))
    shown = "\n".join(out)
    for text in ("backoff 1s 5m", "jitter 0.5", "retry_for 2h", "start_by 1m30s", "start by  "):
        assert text in shown
    _, out, _ = run("add", "Mail", "--backoff", "exponential", "--start-by", "2099-01-01T00:00:00Z")
    options = scheduler.get_job(ObjectId(out[0])).options
    assert (options["backoff"], options["start_by"].year) == ("exponential", 2099)


def test_show_tells_that_a_job_has_put_itself_off(run: Run, scheduler: Scheduler) -> None:
    process = scheduler.add_job("snoozes", 5)
    InlineNode(scheduler).run_due()
    _, out, _ = run("show", str(process.id))
    shown = "\n".join(out)
    for text in ("snoozed, again now", "snoozed   once", "not yet"):
        assert text in shown


def test_show_tells_with_how_many_others_a_job_ran(run: Run, scheduler: Scheduler) -> None:
    many = scheduler.add_jobs([(add_up, number) for number in range(3)])
    InlineNode(scheduler).run_due()
    alone = scheduler.add_job(add_up, 5)
    InlineNode(scheduler).run_due()
    for process, text in ((many[0], "batch     ran with 2 others"), (alone, "batch     alone")):
        assert text in "\n".join(run("show", str(process.id))[1])


def test_add_takes_options_from_the_environment(
    run: Run, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_RETRY_INTERVAL", "2m")
    monkeypatch.setenv("TASKSCHEDULER_OUTPUT", "json")
    _, out, _ = run("add", "Mail")
    assert json.loads("".join(out))["options"]["retry_interval"] == 120


def test_add_reads_data_from_standard_input(run: Run, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, '{"größe": 1}'.encode())
    os.close(writer)
    with open(reader, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        _, out, _ = run("add", "Mail", "-")
    assert scheduler.get_job(ObjectId(out[0])).data == {"größe": 1}


def test_add_once_says_what_became_of_it(run: Run) -> None:
    outcomes = []
    for arguments in ([], [], ["--retry", "1"]):
        _, out, _ = run("add", "Mail", "1", "--once", "-o", "ndjson", *arguments)
        outcomes.append(json.loads(out[0])["outcome"])
    assert outcomes == ["created", "existing", "replaced"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "Mail", "{bad"], 2, "not JSON"),
        (["add", "Mail", "--at", "90"], 2, "write 90s"),
        (["add", "Mail", "--at", "2026-11-21T08:00"], 2, "time zone"),
        (["add", "Mail", "--retry", "-2"], 2, "option retry"),
        (["add", "Mail", "--backoff", "slow"], 2, "option backoff must be one of constant, linear, exponential"),
        (["add", "Mail", "--backoff", "1s,x"], 2, "'x' is not a duration"),
        (["add", "Mail", "--jitter", "5"], 2, "option jitter must be a number between 0 and 1"),
        (["add", "Mail", "--start-by", "tomorrow"], 2, "'tomorrow' is not a point in time"),
        (["add", "Mail", "--queue", "Not A Queue"], 2, "option queue"),
        (["add", "Mail", "--ignore-data"], 2, "--once"),
        (["add", "Mail", "--parent", "0" * 24], 3, "not found"),
        (["add", ""], 2, "must not be empty"),
        (["add"], 2, "Missing argument"),
        (["frob"], 2, "No such command"),
        (["lsit"], 2, "did you mean list?"),
        (["list", "--frob"], 2, "No such option"),
        (["list", "--status", "over"], 2, "waiting, postponed"),
        (["list", "--limit", "0"], 2, "1 to 10000"),
        (["show", "0" * 24], 3, "not found"),
        (["show", "abc"], 2, "last 5 digits"),
        (["wait", "0" * 24], 3, "not found"),
        (["cancel", "0" * 24], 3, "not found"),
        (["flush"], 5, "--yes"),
        (["-u", NOWHERE, "status"], 4, "no MongoDB server"),
        (["-u", "frob", "list"], 2, "mongodb://"),
        (["node", "--jobs", "no_such_module"], 2, "no_such_module"),
        (["node", "--min-children", "3"], 2, "min_children"),
    ],
)
def test_every_error_is_one_line_with_its_exit_code(run: Run, arguments: list[str], code: int, said: str) -> None:
    if "node" in arguments or NOWHERE in arguments:  # forks, which must not happen in the process of the tests
        done = commands.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
        result = (done.returncode, without_progress(done.stderr))
    else:
        found = run(*arguments)
        result = (found[0], found[2])
    assert result[0] == code
    assert said in result[1]
    assert one_line(result[1])


def without_progress(said: str) -> str:
    """What a command has said, but not that it was connecting."""
    progress = ("taskscheduler: connecting to ", "taskscheduler: no connection to ")
    return "".join(line for line in said.splitlines(True) if not line.startswith(progress))


def test_dev_takes_the_options_of_a_node(scheduler: Scheduler, uri: str) -> None:
    other, mine = (scheduler.add_job("noop", queue=queue) for queue in ("other", "mine"))
    options = ["--jobs", "tests.support.jobs", "--queue", "mine", "--name", "mine", "--max-jobs", "1"]
    command = [*COMMAND, "dev", *options, "--stop-timeout", "5s", "--max-memory", "2G"]
    done = commands.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, redacted(uri)), done.stderr
    assert (mine.refresh().status, mine.node, other.refresh().status) == (Status.DONE, "mine", Status.WAITING)


def test_an_id_that_is_taken_is_refused(run: Run) -> None:
    assert run("add", "Mail", "--id", "6a5f01c2e26cf26c6d0ede69")[0] == 0
    assert run("add", "Mail", "--id", "6a5f01c2e26cf26c6d0ede69")[0] == 5


# -- looking --------------------------------------------------------------------------------------------------------


def test_list_shows_live_jobs_newest_first_as_tsv(run: Run, scheduler: Scheduler) -> None:
    first, second, third = (scheduler.add_job("Mail", number) for number in range(3))
    finish(scheduler, second.id, Status.FAILED, error={"type": "OSError", "message": "tab\there"})
    _, out, _ = run("list")
    assert out[0].split("\t") == list(COLUMNS)
    assert [line.split("\t")[0] for line in out[1:]] == [str(third.id), str(first.id)]
    _, out, _ = run("ls", "--status", "failed")
    assert out[1].split("\t")[2::5] == ["failed", "OSError: tab\\there"]


def test_a_pipe_gets_all_jobs_or_is_told_that_there_are_more(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("Mail", None, {"queue": "mail"})] * 120)
    for form in ("id", "tsv", "ndjson", "table"):
        code, out, err = run("list", "-o", form)
        assert (code, len(out), err) == (0, 120 + (form in ("tsv", "table")), ""), form
    assert len(json.loads("".join(run("list", "-o", "json")[1]))) == 120
    code, out, err = run("list", "-o", "id", "--limit", "7")
    assert (code, len(out)) == (0, 7)
    assert err == "taskscheduler: only the newest 7 jobs are listed; there are more\n"
    assert run("list", "-o", "id", "--limit", "120")[2] == ""
    assert len(on_terminal("list")[1].splitlines()) == 52  # a header, 50 jobs and the hint


def test_a_pipe_gets_more_jobs_than_any_limit(run: Run, scheduler: Scheduler) -> None:
    number = LARGEST_LIMIT + 20
    scheduler.add_jobs([("Mail", None, {"queue": "mail"})] * number)
    found = run("list", "-o", "id")[1]
    assert (len(found), len(set(found))) == (number, number)
    assert found == sorted(found, reverse=True)  # the newest first
    assert len(run("list", "-o", "ndjson", "--queue", "mail", "--order", "status")[1]) == number
    code, out, err = run("list", "-o", "id", "--limit", str(LARGEST_LIMIT))
    assert (code, len(out)) == (0, LARGEST_LIMIT)
    assert "there are more" in err


def test_list_filters_and_limits(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("Mail", None, {"queue": "mail"})] * 3 + [("Copy", None, {"queue": "files"})] * 2)
    assert len(run("list", "-o", "id")[1]) == 5
    assert len(run("list", "-o", "id", "--job", "Copy")[1]) == 2
    assert len(run("list", "-o", "id", "--queue", "mail", "--limit", "2")[1]) == 2
    assert run("list", "-o", "id", "--status", "done", "--status", "failed")[1] == []
    assert [job["state"] for job in json.loads("\n".join(run("-o", "json", "list", "--all")[1]))] == ["waiting"] * 5


def test_an_empty_name_is_not_the_same_as_none(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_job("Mail")
    assert run("list", "-o", "id", "--job", "")[1] == []
    assert run("list", "-o", "id", "--queue", "")[1] == []


def test_closed_streams_are_no_error(scheduler: Scheduler) -> None:
    scheduler.add_job("Mail")
    for arguments, code in ((("list",), 0), (("flush",), 5)):
        closed = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *COMMAND, *arguments]
        done = commands.run(closed, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
        assert (done.returncode, "unexpected" in done.stderr) == (code, False), done.stderr


def test_list_by_queue_says_which(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("Mail", None, {"queue": "mail"}), ("Copy", None, {"queue": "files"})])
    assert [line.split("\t")[-1] for line in run("list", "--order", "queue")[1]] == [
        "NOTE",
        "queue files",
        "queue mail",
    ]
    assert [line.split("\t")[-1] for line in run("list")[1]] == ["NOTE", "", ""]
    assert run("list", "--status", "finished", "--status", "running")[1:] == (["\t".join(COLUMNS)], "")


def test_list_shows_the_newest_run_of_a_series_although_its_id_is_a_hash(run: Run, scheduler: Scheduler) -> None:
    series = ObjectId()
    old = scheduler.add_job("Mail")
    template = {**old.to_dict(), "class": "Run", "series": series}
    runs = [{**template, "_id": ObjectId(f"{first}{0:023}"), "seq": 1, "status": 3} for first in "0f"]
    created = old.created
    assert created is not None
    for number, document in enumerate(runs):
        ended = created.replace(microsecond=0, year=created.year + number)
        document |= {"created": ended, "ended": ended, "started": ended}
    scheduler.store.jobs.collection.insert_many(runs)
    _, out, _ = run("list", "--all", "-o", "id")
    assert out[0] == str(runs[1]["_id"])
    assert set(out) == {str(runs[0]["_id"]), str(runs[1]["_id"]), str(old.id)}


def test_show_finds_a_job_by_the_end_of_its_id(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail", {"to": "a"}, retry=2)
    error = {"type": "OSError", "message": "gone", "traceback": "Traceback\n  \x1b[31mline"}
    finish(scheduler, job.id, Status.FAILED, error=error, attempt=1, node="web-1")
    code, out, _ = run("show", str(job.id)[-6:], "-o", "table")
    text = "\n".join(out)
    assert code == 0
    for part in (str(job.id), "x failed", '{"to": "a"}', "OSError: gone", "on web-1", "retry 2, retry_interval 5m"):
        assert part in text
    assert "\x1b" not in text
    stored = json.loads("\n".join(run("show", job.id, "-o", "json")[1]))
    assert (stored["data"], stored["state"]) == ({"to": "a"}, "failed")
    assert 'data\t{"to": "a"}' in run("show", job.id, "-o", "tsv")[1]
    lines = run("show", job.id)[1]  # for people in a pipe, too: show ID | less
    assert [line for line in lines if "age " not in line] == [line for line in out if "age " not in line]


def test_show_tells_of_an_attempt_that_was_lost(run: Run, scheduler: Scheduler) -> None:
    job, boot = scheduler.add_job("Mail"), ObjectId()
    scheduler.store.claims.claim([job.id], "claim", boot, "web-1")
    rescue(scheduler.store, boot, "web-1", max_lost=3)
    assert job.refresh().attempts[0]["status"] is None
    code, out, _ = run("show", job.id, "-o", "table")
    assert code == 0
    assert "< lost" in "\n".join(out)


def test_status_counts_and_tells_whether_a_node_is_up(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("Mail", None, {"queue": "mail"})] * 3)
    scheduler.add_job("Mail", at=4_000_000_000)
    scheduler.store.nodes.register(
        ObjectId(), {"name": "web-1", "lease": 30, "workers": [{"id": 1, "pid": 7, "job": None}]}
    )
    code, out, _ = run("status")
    assert code == 0
    rows = [line.split("\t") for line in out]
    assert ["jobs", "waiting", "3", ""] in rows
    assert ["worker", "web-1/7", "idle", ""] in rows
    assert ["queue", "mail", "3"] in [row[:3] for row in rows]
    seen = json.loads("\n".join(run("status", "-o", "json")[1]))
    assert seen["jobs"]["postponed"] == 1
    assert "web-1  up" in "\n".join(run("status", "-o", "table")[1])
    assert [run("status", "--node", name)[0] for name in ("web-1", "web")] == [0, 1]


def test_a_class_that_no_node_knows_is_named_wherever_nodes_are(run: Run, scheduler: Scheduler) -> None:
    assert run("nodes", "-o", "table")[2].startswith("taskscheduler: no node runs; start one: taskscheduler node ")
    facts = {"name": "web-1", "lease": 30, "slots": 2, "jobs": ["Mail"], "host": "a", "version": "1.4.2", "queues": [],
             "workers": [{"pid": 4711}]}  # fmt: skip
    scheduler.store.nodes.register(boot := ObjectId(), facts)
    scheduler.add_job("Mail")
    scheduler.add_job("Later", at=4_000_000_000)
    code, out, err = run("nodes")
    assert (code, err, out[0]) == (0, "", "NAME\tHOST\tVERSION\tSTATE\tQUEUES\tSLOTS\tSINCE\tJOBS")
    assert re.fullmatch(r"web-1\ta\t1.4.2\tup\tall\t0/2 busy\t[0-9.]+m?s\t1", "".join(out[1:]))
    scheduler.add_job("New", queue="mail")
    what, cure = "no node that serves the queue mail knows the job New, which waits there", "start a node with --jobs"
    assert run("nodes")[2].startswith(f"taskscheduler: {what}; {cure}")
    assert run("nodes", "-o", "id")[1] == [str(boot)]
    assert run("nodes", "-o", "table")[1][2] == "  - 4711    idle"
    (node,) = json.loads("\n".join(run("nodes", "-o", "json")[1]))
    assert (node["state"], node["jobs"], json.loads(run("nodes", "-o", "ndjson")[1][0])["version"]) == (
        "up", ["Mail"], "1.4.2"
    )  # fmt: skip
    screen = "\n".join(run("status", "-o", "table")[1])
    assert f"warning  {what}; {cure}" in screen
    assert "version 1.4.2" in screen
    assert json.loads(run("status", "-o", "ndjson")[1][0])["unknown"] == [{"name": "New", "queue": "mail"}]
    assert "unknown\tNew\tmail" in "\n".join(run("status")[1])
    assert ["warning", "jobs", what] in [line.split("\t")[:3] for line in run("doctor")[1]]


def test_doctor_changes_nothing_and_finds_a_queue_that_nobody_serves(run: Run, scheduler: Scheduler) -> None:
    code, out, _ = run("doctor", "-o", "ndjson")
    found = {finding["check"]: finding for finding in map(json.loads, out)}
    assert (code, found["mongodb"]["result"], found["streams"]["result"]) == (0, "ok", "ok")
    assert found["indexes"]["result"] == found["capped"]["result"] == "warning"
    scheduler.add_job("Mail", queue="mail")
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "lease": 30, "queues": ["files"]})
    code, out, _ = run("doctor")
    findings = {line.split("\t")[1]: line.split("\t") for line in out}
    assert code == 1
    assert (findings["indexes"][0], findings["capped"][0], findings["queues"][0]) == ("ok", "ok", "problem")
    assert findings["queues"][3] == "start a node with --queue mail"


def test_doctor_without_a_server_has_a_problem_and_no_traceback(uri: str) -> None:
    done = commands.run(
        [*COMMAND, "-u", NOWHERE, "doctor"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, without_progress(done.stderr)) == (1, "")
    assert re.search(r"^problem\tmongodb\tno MongoDB server could be reached", done.stdout, re.MULTILINE)


# -- ending and waiting ---------------------------------------------------------------------------------------------


def test_cancel_of_several_jobs(run: Run, scheduler: Scheduler) -> None:
    first, second = scheduler.add_job("Mail"), scheduler.add_job("Mail", at=4_000_000_000)
    code, out, _ = run("cancel", first.id, second.id)
    assert (code, out[1:]) == (0, [f"{first.id}\tcanceled", f"{second.id}\tcanceled"])
    code, out, err = run("cancel", first.id, "0" * 24)
    assert (code, len(out)) == (1, 2)
    assert one_line(err)


def test_flush_of_one_class(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs(["Mail", "Mail", "Copy"])
    assert run("flush", "--job", "Mail", "--yes")[:2] == (0, ["2 jobs deleted"])
    assert run("flush", "--yes")[:2] == (0, ["1 job deleted"])


def test_wait_ends_with_how_the_jobs_ended(run: Run, scheduler: Scheduler) -> None:
    good, bad, live = (scheduler.add_job("Mail") for _ in range(3))
    finish(scheduler, good.id, Status.DONE)
    finish(scheduler, bad.id, Status.TIMEOUT)
    assert run("wait", good.id)[0] == 0
    assert run("wait", good.id, bad.id)[0] == 1
    code, out, err = run("wait", live.id, "--timeout", "10ms")
    assert code == 124
    assert out[1].split("\t")[3] == "waiting"
    assert one_line(err)


def add_and_wait(
    run: Run, scheduler: Scheduler, *form: str, status: Status = Status.DONE, **fields: object
) -> tuple[ObjectId, int, list[str], str]:
    """What `add --wait` gives for a job that ends as soon as it is there: its id, exit code, output and errors."""
    job_id = ObjectId()

    def end() -> None:
        until(lambda: scheduler.store.jobs.get(job_id) is not None)
        finish(scheduler, job_id, status, **fields)

    helper = threading.Thread(target=end)
    helper.start()
    code, out, err = run("add", "Mail", "--id", job_id, "--wait", "--wait-timeout", "30s", *form)
    helper.join()
    return job_id, code, out, err


def test_add_and_wait_shows_changes_as_they_happen(run: Run, scheduler: Scheduler) -> None:
    _, code, out, _ = add_and_wait(run, scheduler, "-o", "tsv")
    assert (code, out[-1].split("\t")[3]) == (0, "done")


def test_add_and_wait_can_be_read_by_programs(run: Run, scheduler: Scheduler) -> None:
    for form in ((), ("-o", "id")):
        job_id, code, out, err = add_and_wait(run, scheduler, *form)
        assert (code, out, err) == (0, [str(job_id)], "")
    _, _, out, _ = add_and_wait(run, scheduler, "-o", "json")
    assert [job["state"] for job in json.loads("\n".join(out))] == ["done"]
    _, _, out, _ = add_and_wait(run, scheduler, "-o", "ndjson")
    assert json.loads(out[-1])["state"] == "done"


def test_add_and_wait_says_why_a_job_failed_where_it_prints_but_its_id(run: Run, scheduler: Scheduler) -> None:
    error = {"type": "ValueError", "message": "no address"}
    job_id, code, out, err = add_and_wait(run, scheduler, status=Status.FAILED, error=error)
    assert (code, out) == (1, [str(job_id)])
    assert err == f"taskscheduler: job Mail {job_id} failed: ValueError: no address\n"


def test_listen_prints_each_event(run: Run, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    event = EventPrinter.event
    monkeypatch.setattr(EventPrinter, "event", lambda printer, job: event(printer, job) or True)  # ends it
    stopped = threading.Event()

    def add() -> None:
        while not stopped.wait(0.2):
            scheduler.add_job("Copy")
            scheduler.add_job("Mail").cancel()

    helper = threading.Thread(target=add)
    helper.start()
    code, out, _ = run("listen", "--job", "Mail", "--status", "canceled", "--timeout", "30s")
    stopped.set()
    helper.join()
    assert (code, out[0].split("\t")[:4]) == (0, ["TIME", "EVENT", "ID", "JOB"])
    assert {tuple(line.split("\t")[1::2][:2]) for line in out[1:]} == {("cancel", "Mail")}


# -- processes ------------------------------------------------------------------------------------------------------


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


def on_terminal(*arguments: str, columns: int = 100, **environment: str) -> tuple[int, str]:
    """Run the command on a terminal of its own: exit code and everything it printed."""
    ours, theirs = pty.openpty()
    merged = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment}
    process = commands.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=merged)
    os.close(theirs)
    said, end = b"", time.monotonic() + SECONDS
    while time.monotonic() < end and select.select([ours], [], [], SECONDS)[0]:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    return process.wait(SECONDS), said.decode().replace("\r\n", "\n")


def test_a_terminal_gets_a_table_that_fits_with_whole_ids(scheduler: Scheduler) -> None:
    name = "my.company.package.module.with.a.long.name.ClassName"
    job = scheduler.add_job(name)
    finish(scheduler, job.id, Status.FAILED, error={"type": "OSError", "message": "漢字" * 60})
    code, said = on_terminal("list", "--all")
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert plain != said
    assert str(job.id) in plain
    assert "ClassName" in plain
    assert "✗ failed" in plain
    _, said = on_terminal("list", "--all", NO_COLOR="1")
    assert "\x1b" not in said
    assert "x failed" in said


def test_wait_on_a_terminal_draws_a_bar(scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail[bold]")
    finish(scheduler, job.id, Status.DONE)
    code, said = on_terminal("wait", str(job.id))
    assert code == 0
    assert "━" in said
    assert "Mail[bold]" in said


def test_who_waits_on_a_terminal_is_told_that_no_node_is_there(scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail", queue="letters")
    code, said = on_terminal("wait", str(job.id), "--timeout", "0")
    assert (code, "no node that is up serves the queue letters" in said) == (124, True)
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "queues": ["letters"], "lease": 3600})
    code, said = on_terminal("wait", str(job.id), "--timeout", "0")
    assert (code, "no node" in said) == (124, False)


def test_flush_asks_on_a_terminal(scheduler: Scheduler) -> None:
    scheduler.add_job("Mail")
    ours, theirs = pty.openpty()
    process = commands.Popen([*COMMAND, "flush"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.write(ours, b"n\n")
    assert process.wait(SECONDS) == 5
    os.close(ours)
    os.close(theirs)
    assert len(list(scheduler.get_jobs())) == 1


def test_a_reader_that_leaves_early_is_no_error(scheduler: Scheduler) -> None:
    scheduler.add_jobs(["Mail"] * 2000)
    reader, writer = os.pipe()
    process = commands.Popen([*COMMAND, "list", "--limit", "2000"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")


def test_ctrl_c_ends_quietly_with_130(scheduler: Scheduler) -> None:
    process = commands.Popen([*COMMAND, "listen"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("TIME")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_who_stops_waiting_is_told_that_the_job_goes_on(scheduler: Scheduler) -> None:
    command = [*COMMAND, "wait", str(scheduler.add_job("Mail").id)]
    waiting = commands.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waiting.stdout is not None
    assert [waiting.stdout.readline().split("\t")[3] for _ in range(2)] == ["STATE", "waiting"]
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, one_line(err.rstrip() + "\n"), "go on" in err) == (130, True, True)


def test_a_node_runs_jobs_of_a_module_in_its_directory(tmp_path: Path, scheduler: Scheduler) -> None:
    (tmp_path / "shopjobs.py").write_text(
        "from taskscheduler import job\n@job(name='add')\ndef add(a, b): return a + b\n"
    )
    # a bare directory on sys.path is what the installed script has; `python -c` would add the current one by itself
    script = "import sys; sys.path[0] = '/'; from taskscheduler_daemon.cli import main; sys.exit(main())"
    environment = {**os.environ, "TASKSCHEDULER_JOBS": "shopjobs", "TASKSCHEDULER_NAME": "n1"}
    command = [sys.executable, "-c", script, "node", "--stop-timeout", "2s"]
    process = commands.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert scheduler.add_job("add", {"a": 1, "b": 2}).result(timeout=SECONDS) == 3
        assert main(["status", "--node", "n1"]) == 0
    finally:
        process.terminate()
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "node=n1" in err


def test_help_needs_no_database_and_names_all_commands(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert all(f"  {name} " in "\n".join(out) for name in ("add", "list", "doctor", "node", "dev", "demo"))


def test_the_node_command_loads_no_rich() -> None:
    script = "import sys; from taskscheduler_daemon.cli.group import cli; cli.get_command(None, 'node'); "
    script += "import threading; sys.exit('rich' in sys.modules or threading.active_count() > 1)"
    assert subprocess.run([sys.executable, "-c", script], timeout=SECONDS, check=False).returncode == 0


def test_missing_extras_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["list"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'mongo-taskscheduler[cli]'" in said
    assert one_line(said)
